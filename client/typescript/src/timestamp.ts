/** Points in time that are exact to the nanosecond. */

/**
 * A Date that keeps the nanoseconds after its millisecond. Times of a loaded checkpoint are of this class, so that they are saved
 * again as they were. A plain Date is exact to the millisecond.
 *
 *     const { createdAt } = (await client.load("order-4711", { step: 1n })).checkpoint;
 *     console.log(createdAt?.toISOString(), createdAt instanceof Timestamp && createdAt.nanoseconds);
 */
export class Timestamp extends Date {
  /** 0 to 999,999: how long after the Date's millisecond. */
  readonly nanoseconds: number;

  /** ms: since 1970, an integer. nanoseconds: 0 to 999,999. */
  constructor(ms: number, nanoseconds = 0) {
    super(ms);
    this.nanoseconds = nanoseconds;
  }
}
