declare module "brotli/decompress" {
  export default function decompress(packed: Uint8Array): Uint8Array<ArrayBuffer>;
}
