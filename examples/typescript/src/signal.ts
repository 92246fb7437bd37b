/** Signal: something has happened; whoever waits for that goes on. */

export class Signal {
  private happened = false;
  private wake: (() => void) | null = null;

  set(): void {
    this.happened = true;
    this.wake?.();
  }

  clear(): void {
    this.happened = false;
  }

  /** Waits until it is set, at most so many milliseconds. */
  async wait(milliseconds: number): Promise<void> {
    if (this.happened) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.wake = null;
  }
}
