// The nonce that the page's Content-Security-Policy gives to styles that a library makes as it runs.

export function nonce(): string {
  return document.querySelector<HTMLScriptElement>("script[nonce]")?.nonce ?? "";
}
