/** A clip of what the canvas shows, without sound. */

import { Problem } from "../runtime/problem.ts";

const TYPES = ["video/mp4;codecs=avc1.42E01F", "video/mp4", "video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm"];
const BITS_A_SECOND = 8_000_000;

export class Clip {
  private readonly recorder: MediaRecorder;
  private readonly parts: Blob[] = [];
  readonly started = performance.now();

  /** Throws a Problem where the browser records nothing. */
  constructor(canvas: HTMLCanvasElement) {
    const type = Clip.type();
    if (type === undefined) throw new Problem("This browser cannot record a clip.");
    this.recorder = new MediaRecorder(canvas.captureStream(30), { mimeType: type, videoBitsPerSecond: BITS_A_SECOND });
    this.recorder.addEventListener("dataavailable", ({ data }) => data.size > 0 && this.parts.push(data));
    this.recorder.start(1000); // what is recorded is given away once a second
  }

  static type(): string | undefined {
    return typeof MediaRecorder === "undefined" ? undefined : TYPES.find((type) => MediaRecorder.isTypeSupported(type));
  }

  async stop(): Promise<{ blob: Blob; extension: string }> {
    const stopped = new Promise((resolve) => this.recorder.addEventListener("stop", resolve, { once: true }));
    this.recorder.stop();
    await stopped;
    for (const track of this.recorder.stream.getTracks()) track.stop();
    const type = this.recorder.mimeType.split(";")[0];
    return { blob: new Blob(this.parts, { type }), extension: type === "video/mp4" ? "mp4" : "webm" };
  }
}
