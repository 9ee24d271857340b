/** The live camera: the front or the back one, a frame at a time. */

import { Problem } from "../runtime/problem.ts";
import { byId } from "./dom.ts";

export type Facing = "user" | "environment";

export class Camera {
  private readonly video = byId<HTMLVideoElement>("video");
  private stream: MediaStream | null = null;
  facing: Facing = "environment";
  mirrored = false;

  get on(): boolean {
    return this.stream !== null;
  }

  /** Throws a Problem that says why there is none. */
  async start(onEnd: () => void): Promise<void> {
    this.stop();
    if (navigator.mediaDevices?.getUserMedia === undefined) {
      throw new Problem("This browser gives a page the camera over https only. You can still choose a photo.");
    }
    const video = { facingMode: { ideal: this.facing }, width: { ideal: 1280 }, height: { ideal: 720 } };
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ video, audio: false });
    } catch (error) {
      throw new Problem(`${reason(error)} You can still choose a photo.`);
    }
    const [track] = this.stream.getVideoTracks();
    track.addEventListener("ended", onEnd); // unplugged, or the permission was taken back
    // A notebook's camera does not say which way it looks: towards who sits there.
    const onPhone = matchMedia("(pointer: coarse)").matches;
    this.mirrored = (track.getSettings().facingMode ?? (onPhone ? this.facing : "user")) === "user";
    this.video.srcObject = this.stream;
    await this.video.play();
  }

  stop(): void {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = null;
    this.video.srcObject = null;
  }

  async hasTwo(): Promise<boolean> {
    const devices = await navigator.mediaDevices.enumerateDevices();
    return devices.filter(({ kind }) => kind === "videoinput").length > 1;
  }

  /** Calls back once there is a new frame. */
  onFrame(callback: () => void): void {
    if ("requestVideoFrameCallback" in this.video) this.video.requestVideoFrameCallback(callback);
    else requestAnimationFrame(callback);
  }

  /** What is seen now, without copying it where the browser can; null while there is nothing yet. */
  async grab(): Promise<VideoFrame | ImageBitmap | null> {
    if (this.stream === null || this.video.readyState < 2) return null;
    return typeof VideoFrame === "undefined" ? createImageBitmap(this.video) : new VideoFrame(this.video);
  }
}

function reason(error: unknown): string {
  const name = error instanceof DOMException ? error.name : "";
  if (name === "NotAllowedError") return "The camera was not allowed: the browser's settings for this site let you allow it.";
  if (name === "NotFoundError" || name === "OverconstrainedError") return "No camera was found.";
  if (name === "NotReadableError") return "The camera is in use by another app.";
  return "The camera could not be started.";
}
