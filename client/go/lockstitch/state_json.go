package lockstitch

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// exactDigits: a decimal number of this many digits, as programs write floats, is
// the float that is nearest.
const exactDigits = 17

// stateText is a value as JSON text, and what was found in it. It fails where the
// value would not come back as it is.
func stateText(value any, at statePath) ([]byte, stateChecker, error) {
	checker := stateChecker{}
	if err := checker.check(reflect.ValueOf(value), at, reflect.TypeOf(value) == nil); err != nil {
		return nil, checker, err
	}
	text, err := JSONText(value)
	if err != nil {
		return nil, checker, at.refuse("cannot be written as JSON: %v", err)
	}
	raw := plainSeparators([]byte(text))
	if checker.custom {
		if _, err := parseJSON(raw, at); err != nil {
			return nil, checker, err
		}
	}
	return raw, checker, nil
}

// plainSeparators writes U+2028 and U+2029 as they are. encoding/json escapes
// them, and all clients write the same bytes.
func plainSeparators(raw []byte) []byte {
	if !bytes.Contains(raw, []byte(`\u202`)) {
		return raw
	}
	plain := make([]byte, 0, len(raw))
	for index := 0; index < len(raw); index++ {
		rest := raw[index:]
		switch {
		case bytes.HasPrefix(rest, []byte(`\u2028`)):
			plain = append(plain, "\u2028"...)
			index += 5
		case bytes.HasPrefix(rest, []byte(`\u2029`)):
			plain = append(plain, "\u2029"...)
			index += 5
		case rest[0] == '\\':
			plain = append(plain, rest[:2]...)
			index++
		default:
			plain = append(plain, rest[0])
		}
	}
	return plain
}

// parseJSON reads one JSON value: objects as map[string]any, numbers as
// json.Number. It fails where encoding/json would lose or change something.
func parseJSON(raw []byte, at statePath) (any, error) {
	switch {
	case !utf8.Valid(raw):
		return nil, at.refuse("is stored as text that is not UTF-8")
	case !json.Valid(raw):
		return nil, at.refuse("is stored as text that is not JSON")
	case hasHalfPair(raw):
		return nil, at.refuse("holds half of a surrogate pair, which is not text")
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	return parseNext(decoder, at)
}

func parseNext(decoder *json.Decoder, at statePath) (any, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, at.refuse("is not JSON: %v", err)
	}
	if _, holds := token.(json.Delim); holds && len(at) > maxStateDepth {
		return nil, statePath(nil).refuse("is nested more than %d deep", maxStateDepth)
	}
	switch token {
	case json.Delim('['):
		list := []any{}
		for decoder.More() {
			item, err := parseNext(decoder, at.in(len(list)))
			if err != nil {
				return nil, err
			}
			list = append(list, item)
		}
		_, err = decoder.Token()
		return list, err
	case json.Delim('{'):
		object := map[string]any{}
		for decoder.More() {
			key, err := decoder.Token()
			if err != nil {
				return nil, err
			}
			name := key.(string)
			if _, ok := object[name]; ok {
				return nil, at.in(name).refuse("stands twice in its object")
			}
			if object[name], err = parseNext(decoder, at.in(name)); err != nil {
				return nil, err
			}
		}
		_, err = decoder.Token()
		return object, err
	}
	return token, nil
}

// hasHalfPair says whether valid JSON has an escape of half of a surrogate pair,
// which encoding/json replaces.
func hasHalfPair(raw []byte) bool {
	for index := 0; index < len(raw); index++ {
		if raw[index] != '\\' {
			continue
		}
		index++
		if raw[index] != 'u' {
			continue
		}
		code := hexadecimal(raw[index+1:])
		index += 4
		switch {
		case code >= 0xDC00 && code < 0xE000:
			return true
		case code >= 0xD800 && code < 0xDC00:
			next := raw[index+1:]
			if len(next) < 6 || next[0] != '\\' || next[1] != 'u' {
				return true
			}
			if low := hexadecimal(next[2:]); low < 0xDC00 || low >= 0xE000 {
				return true
			}
			index += 6
		}
	}
	return false
}

func hexadecimal(digits []byte) uint64 {
	code, _ := strconv.ParseUint(string(digits[:4]), 16, 16) // valid JSON has four
	return code
}

// A keptChecker compares what was stored with what would be saved again, and
// refuses a type that has no place for something. Strings may differ: types such
// as time.Time have several texts for one value. A zero value may be left out, by a
// type that has a place for it.
type keptChecker struct{ kind reflect.Type }

func (c keptChecker) check(stored, again any, at statePath) error {
	switch stored := stored.(type) {
	case map[string]any:
		if object, ok := again.(map[string]any); ok {
			return c.checkObject(stored, object, at)
		}
	case []any:
		list, ok := again.([]any)
		if !ok || len(list) != len(stored) {
			break
		}
		for index, value := range stored {
			if err := c.check(value, list[index], at.in(index)); err != nil {
				return err
			}
		}
		return nil
	case json.Number:
		if other, ok := again.(json.Number); ok && sameNumber(string(stored), string(other)) {
			return nil
		}
	case string:
		if _, ok := again.(string); ok {
			return nil
		}
	default: // null and booleans
		if stored == again {
			return nil
		}
	}
	return at.refuse("is stored as %s, which %v cannot hold", shortText(stored), c.kind)
}

func (c keptChecker) checkObject(stored, again map[string]any, at statePath) error {
	for key, value := range stored {
		inside, ok := again[key]
		switch {
		case ok:
			if err := c.check(value, inside, at.in(key)); err != nil {
				return err
			}
		case !isZero(value) || !hasPlace(c.kind, at.in(key)):
			return at.in(key).refuse("is stored, and %v has no place for it", c.kind)
		}
	}
	return nil
}

func isZero(value any) bool {
	switch value := value.(type) {
	case map[string]any:
		return len(value) == 0
	case []any:
		return len(value) == 0
	case json.Number:
		return sameNumber(string(value), "0")
	}
	return value == nil || value == "" || value == false
}

func shortText(value any) string {
	text, err := JSONText(value)
	if err != nil || len(text) > 40 {
		return reflect.TypeOf(value).String()
	}
	return text
}

// sameJSON says whether two values are equal. Numbers are compared by value.
func sameJSON(left, right any) bool {
	switch left := left.(type) {
	case map[string]any:
		other, ok := right.(map[string]any)
		if !ok || len(other) != len(left) {
			return false
		}
		for key, value := range left {
			if inside, ok := other[key]; !ok || !sameJSON(value, inside) {
				return false
			}
		}
		return true
	case []any:
		other, ok := right.([]any)
		if !ok || len(other) != len(left) {
			return false
		}
		for index, value := range left {
			if !sameJSON(value, other[index]) {
				return false
			}
		}
		return true
	case json.Number:
		other, ok := right.(json.Number)
		return ok && sameNumber(string(left), string(other))
	}
	return left == right
}

// sameNumber says whether two JSON numbers are the same: exactly, or as floats
// where both are written as floats are.
func sameNumber(left, right string) bool {
	one, other := decimalOf(left), decimalOf(right)
	switch whole := isInteger(left); {
	case whole && isInteger(right):
		return one == other
	case whole:
		return one == other && isFloat(left)
	case isInteger(right):
		return one == other && isFloat(right)
	case one == other:
		return true
	case len(one.digits) > exactDigits || len(other.digits) > exactDigits:
		return false
	}
	a, errA := strconv.ParseFloat(left, 64)
	b, errB := strconv.ParseFloat(right, 64)
	return errA == nil && errB == nil && a == b && !math.IsInf(a, 0)
}

// isFloat says whether an integer is exactly a float: readers take 1e40 for a
// float, which is not 10^40.
func isFloat(integer string) bool {
	value, err := strconv.ParseFloat(integer, 64)
	return err == nil && strconv.FormatFloat(value, 'f', 0, 64) == integer
}

func isInteger(number string) bool { return !strings.ContainsAny(number, ".eE") }

// A decimal is digits * 10^exponent, without zeros at either end of the digits.
type decimal struct {
	negative bool
	digits   string
	exponent string
}

func decimalOf(number string) decimal {
	text, negative := strings.CutPrefix(number, "-")
	mantissa, power := text, "0"
	if at := strings.IndexAny(text, "eE"); at >= 0 {
		mantissa, power = text[:at], text[at+1:]
	}
	exponent, err := strconv.Atoi(power)
	if err != nil {
		return decimal{digits: number} // equal to itself only
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	short := strings.TrimRight(digits, "0")
	if short == "" {
		return decimal{negative: negative}
	}
	exponent += len(digits) - len(short) - len(fraction)
	return decimal{negative, short, strconv.Itoa(exponent)}
}
