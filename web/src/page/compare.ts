/** Before and after, one over the other, and the slider between them. */

import { byId } from "./dom.ts";

export class Compare {
  readonly after = byId<HTMLCanvasElement>("after");
  private readonly before = byId<HTMLCanvasElement>("before");
  private readonly frame = byId("picture");
  private readonly slider = byId<HTMLInputElement>("compare");

  constructor() {
    this.slider.addEventListener("input", () => this.place());
    this.place();
  }

  private place(): void {
    this.frame.style.setProperty("--at", `${this.slider.value}%`);
    this.frame.dataset.at = this.slider.value === "0" ? "start" : this.slider.value === "100" ? "end" : "between";
    this.slider.setAttribute("aria-valuetext", `${this.slider.value} % before`);
  }

  set(percent: number): void {
    this.slider.value = String(percent);
    this.place();
  }

  hide(): void {
    this.frame.hidden = true;
  }

  drawBefore(bitmap: ImageBitmap): void {
    draw(this.before, bitmap);
    if (this.after.width !== bitmap.width || this.after.height !== bitmap.height) clear(this.after, bitmap);
    this.frame.style.setProperty("--ratio", `${bitmap.width} / ${bitmap.height}`);
    this.frame.style.setProperty("--wide", String(bitmap.width / bitmap.height));
    this.frame.hidden = false;
    bitmap.close();
  }

  drawAfter(bitmap: ImageBitmap): void {
    draw(this.after, bitmap);
    bitmap.close();
  }

  /** The photo as it is, until its edit is there. */
  drawBoth(bitmap: ImageBitmap): void {
    draw(this.after, bitmap);
    this.drawBefore(bitmap);
  }
}

function clear(canvas: HTMLCanvasElement, { width, height }: { width: number; height: number }): void {
  canvas.width = width;
  canvas.height = height;
}

function draw(canvas: HTMLCanvasElement, bitmap: ImageBitmap): void {
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) clear(canvas, bitmap);
  canvas.getContext("2d", { alpha: false })?.drawImage(bitmap, 0, 0);
}
