/** JSON texts that say exactly what values say, and values that say exactly what texts say; errors name the path. */

/** Where a value stands in a state: keys and list indexes. */
export type Path = readonly (string | number)[];

const MAX_DEPTH = 500;
const SURROGATE = /\p{Surrogate}/u;
/** Digits of a decimal number, as programs write floats, that is read as the nearest float. */
const EXACT_DIGITS = 17;
const LONG_INTEGER = /(?<![\d.])\d{16,}(?![\d.e])/;

/** A place in a state, such as `value.cart["a/b"][0]`. */
export function at(path: Path): string {
  const isName = (part: string | number) => typeof part === "string" && /^[A-Za-z_$][\w$]*$/.test(part);
  return `value${path.map((part) => (isName(part) ? `.${part}` : `[${JSON.stringify(part)}]`)).join("")}`;
}

/** Throws TypeError for text with half of a surrogate pair. */
export function checkText(text: string, path: Path): void {
  const half = SURROGATE.exec(text);
  if (half) {
    const code = half[0].charCodeAt(0).toString(16);
    throw new TypeError(`${at(path)} has "\\u${code}", half of a surrogate pair, which is not Unicode text`);
  }
}

/**
 * A value as JSON text. Throws TypeError, with the path, for what would not come back equal. Keys whose value is undefined
 * are left out.
 */
export function exactText(value: unknown, path: Path): string {
  return check(value, [...path]) ? JSON.stringify(value) : written(value);
}

/** The value of a JSON text; integers beyond 2^53 are bigints. Throws TypeError, with the path, for what would be lost. */
export function exactValue(text: string, path: Path): unknown {
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch (cause) {
    throw new TypeError(`${at(path)} is not stored as JSON`, { cause });
  }
  // Nothing is lost where the same text comes out again, but for integers beyond 2^53 that happen to be numbers.
  const isExact = !LONG_INTEGER.test(text) && JSON.stringify(found) === text;
  return isExact ? found : new Reader(text, path).value();
}

/** Whether JSON.stringify writes the value exactly. Throws for what no JSON text says. */
function check(value: unknown, path: (string | number)[]): boolean {
  switch (typeof value) {
    case "string":
      checkText(value, path);
      return true;
    case "boolean":
      return true;
    case "number":
      if (!Number.isFinite(value)) {
        throw new TypeError(`${at(path)} is ${value}, which JSON does not have`);
      }
      return !isWrittenApart(value);
    case "bigint":
      if (Number.isSafeInteger(Number(value))) {
        throw new TypeError(`${at(path)} is the bigint ${value}, which would come back as a number: save a number`);
      }
      return false;
    case "object":
      return value === null || checkMembers(value, path);
    default:
      throw new TypeError(`${at(path)} is ${named(value)}, which JSON does not have`);
  }
}

function checkMembers(value: object, path: (string | number)[]): boolean {
  if (path.length > MAX_DEPTH) {
    throw new TypeError(`the value is nested more than ${MAX_DEPTH} deep, or holds itself`);
  }
  let plain = true;
  const visit = (key: string | number, item: unknown) => {
    path.push(key);
    plain = check(item, path) && plain;
    path.pop();
  };
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) {
      visit(index, value[index]); // a hole is undefined, and refused
    }
    return plain;
  }
  for (const [key, item] of entriesOf(value, path)) {
    visit(key, item);
  }
  return plain;
}

/** The entries of a plain object that are not undefined. Throws for an object of a class. */
export function entriesOf(value: object, path: Path): [key: string, item: unknown][] {
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
    throw new TypeError(`${at(path)} is ${named(value)}, which JSON does not have`);
  }
  const symbol = Object.getOwnPropertySymbols(value)[0];
  if (symbol) {
    throw new TypeError(`${at(path)} has the key ${String(symbol)}: keys are text`);
  }
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  for (const [key] of entries) {
    checkText(key, path);
  }
  return entries;
}

/** Numbers that JSON.stringify would write as others: -0, and floats that would be read as integers. */
function isWrittenApart(value: number): boolean {
  return Object.is(value, -0) || (Number.isInteger(value) && !Number.isSafeInteger(value) && Math.abs(value) < 1e21);
}

function written(value: unknown): string {
  if (typeof value === "bigint") {
    return value.toString();
  }
  if (typeof value === "number" && isWrittenApart(value)) {
    return value === 0 ? "-0.0" : value.toExponential();
  }
  if (Array.isArray(value)) {
    return `[${value.map(written).join(",")}]`;
  }
  if (typeof value === "object" && value !== null) {
    const members = Object.entries(value).filter(([, item]) => item !== undefined);
    return `{${members.map(([key, item]) => `${JSON.stringify(key)}:${written(item)}`).join(",")}}`;
  }
  return JSON.stringify(value);
}

function named(value: unknown): string {
  if (typeof value === "object") {
    return `of class ${value?.constructor?.name ?? "null"}`;
  }
  return value === undefined ? "undefined" : `a ${typeof value}`;
}

const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|[[\]{},:]/g;
const WORD = /[a-z]+/y;

/** Reads what JSON.parse would change: large integers, and whatever else must be refused. The text is valid JSON. */
class Reader {
  readonly #text: string;
  readonly #path: (string | number)[];
  #index = 0;

  constructor(text: string, path: Path) {
    this.#text = text;
    this.#path = [...path];
  }

  value(): unknown {
    const token = this.#next();
    switch (token[0]) {
      case "{":
        return this.#object();
      case "[":
        return this.#list();
      case '"':
      case "t":
      case "f":
      case "n":
        return JSON.parse(token);
      default:
        return number(token, this.#path);
    }
  }

  #object(): object {
    const entries = new Map<string, unknown>();
    this.#members("}", () => {
      const key = JSON.parse(this.#next());
      this.#next(); // the colon
      this.#within(key, () => {
        if (entries.has(key)) {
          throw new TypeError(`${at(this.#path)} stands twice in its object`);
        }
        entries.set(key, this.value());
      });
    });
    return Object.fromEntries(entries); // an assignment would take "__proto__" for the prototype
  }

  #list(): unknown[] {
    const items: unknown[] = [];
    this.#members("]", () => this.#within(items.length, () => items.push(this.value())));
    return items;
  }

  #members(end: string, read: () => void): void {
    if (this.#peek() === end) {
      this.#next();
      return;
    }
    do {
      read();
    } while (this.#next() === ",");
  }

  #within(key: string | number, read: () => void): void {
    this.#path.push(key);
    read();
    this.#path.pop();
  }

  #peek(): string {
    const before = this.#index;
    const token = this.#next();
    this.#index = before;
    return token;
  }

  #next(): string {
    while (/\s/.test(this.#text[this.#index] ?? "")) {
      this.#index++;
    }
    const pattern = /[a-z]/.test(this.#text[this.#index] ?? "") ? WORD : TOKEN;
    pattern.lastIndex = this.#index;
    const [token] = pattern.exec(this.#text) ?? [""];
    this.#index += token.length;
    return token;
  }
}

function number(text: string, path: Path): number | bigint {
  const value = Number(text);
  if (/^-?\d+$/.test(text)) {
    return Number.isSafeInteger(value) ? value : BigInt(text);
  }
  if (!Number.isFinite(value)) {
    throw new TypeError(`${at(path)}: ${text} is beyond the range of a number`);
  }
  const digits = decimal(text).digits.length;
  if ((digits > EXACT_DIGITS || value === 0) && !same(decimal(text), decimal(String(value)))) {
    throw new TypeError(`${at(path)}: ${text} has more digits than a number can hold`);
  }
  return value;
}

interface Decimal {
  /** Without zeros at either end; "" for zero. */
  digits: string;
  /** Of the last digit. */
  exponent: number;
}

function decimal(text: string): Decimal {
  const [, whole = "", fraction = "", exponent = "0"] = /^-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text) ?? [];
  const all = `${whole}${fraction}`.replace(/^0+/, "");
  const digits = all.replace(/0+$/, "");
  const last = Number(exponent) - fraction.length + (all.length - digits.length);
  return { digits, exponent: digits === "" ? 0 : last };
}

function same(one: Decimal, other: Decimal): boolean {
  return one.digits === other.digits && one.exponent === other.exponent;
}
