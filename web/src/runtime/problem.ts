/** What a visitor or the site's owner can mend, in one line of plain words. Everything else that is thrown is a bug. */
export class Problem extends Error {
  override name = "Problem";
}

export function problemText(error: unknown): string {
  if (error instanceof Problem) return error.message;
  return `Something unexpected went wrong: ${error instanceof Error ? error.message : String(error)}`;
}
