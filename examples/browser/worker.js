// Runs the program off the page's own thread, so that the page stays alive meanwhile.
import { run } from './wasi.js';

const module = WebAssembly.compileStreaming(fetch('dino_browser.wasm'));

onmessage = async ({ data: { model, prompt, maxTokens } }) => {
    const decoders = { 1: new TextDecoder(), 2: new TextDecoder() };
    const write = (stream, bytes) =>
        postMessage({ stream, text: decoders[stream].decode(bytes, { stream: true }) });
    try {
        const args = ['dino-browser', String(model.length), prompt, String(maxTokens)];
        await run(await module, { args, stdin: model, write });
        postMessage({ done: true });
    } catch (error) {
        postMessage({ error: String(error) });
    }
};
