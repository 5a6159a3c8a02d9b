// Edits on their way to the server: those of a task one after the other, also while one looks at something else.

export class Saves {
  private readonly last = new Map<string, Promise<unknown>>();

  /** Do something to a task when all before it is done. */
  inTurn<T>(task: string, act: () => Promise<T>): Promise<T> {
    const done = this.settled(task).then(act);
    const over = done.then(
      () => {},
      () => {}, // who asked for it hears of it
    );
    this.last.set(task, over);
    void over.then(() => this.last.get(task) === over && this.last.delete(task));
    return done;
  }

  /** Wait until nothing of a task is on its way. */
  async settled(task: string): Promise<void> {
    await this.last.get(task);
  }
}
