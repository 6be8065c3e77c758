// The few functions of WASI (preview 1) that the program uses: arguments, a clock, random bytes, one input, two outputs.
// Everything else answers "not supported". https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md

const SUCCESS = 0, BAD_FILE = 8, NOT_SUPPORTED = 58;

/** What a program says when it ends by itself. */
export class Exit extends Error {
    constructor(code) {
        super(`the program ended with ${code}`);
        this.code = code;
    }
}

/**
 * Runs a program to its end.
 * @param {WebAssembly.Module} module
 * @param {{args: string[], stdin: Uint8Array, write: (stream: 1 | 2, bytes: Uint8Array) => void}} host
 */
export async function run(module, { args, stdin, write }) {
    let memory;
    let read = 0;
    const view = () => new DataView(memory.buffer);
    const bytes = (at, length) => new Uint8Array(memory.buffer, at, length);
    const strings = args.map((text) => new TextEncoder().encode(`${text}\0`));
    // The buffers of a scattered read or a gathered write.
    const buffers = (at, count) => Array.from({ length: count }, (_, i) =>
        bytes(view().getUint32(at + 8 * i, true), view().getUint32(at + 8 * i + 4, true)));
    const known = {
        args_sizes_get(count, size) {
            view().setUint32(count, strings.length, true);
            view().setUint32(size, strings.reduce((sum, text) => sum + text.length, 0), true);
            return SUCCESS;
        },
        args_get(pointers, at) {
            strings.forEach((text, i) => {
                view().setUint32(pointers + 4 * i, at, true);
                bytes(at, text.length).set(text);
                at += text.length;
            });
            return SUCCESS;
        },
        environ_sizes_get(count, size) {
            view().setUint32(count, 0, true);
            view().setUint32(size, 0, true);
            return SUCCESS;
        },
        environ_get: () => SUCCESS,
        clock_time_get(id, _precision, at) {
            const milliseconds = id === 0 ? Date.now() : performance.now();
            view().setBigUint64(at, BigInt(Math.round(milliseconds * 1e6)), true);
            return SUCCESS;
        },
        random_get(at, length) {
            for (let done = 0; done < length; done += 65536) {
                crypto.getRandomValues(bytes(at + done, Math.min(65536, length - done)));
            }
            return SUCCESS;
        },
        fd_read(file, at, count, total) {
            if (file !== 0) return BAD_FILE;
            const start = read;
            for (const buffer of buffers(at, count)) {
                const part = stdin.subarray(read, read + buffer.length);
                buffer.set(part);
                read += part.length;
            }
            view().setUint32(total, read - start, true);
            return SUCCESS;
        },
        fd_write(file, at, count, total) {
            if (file !== 1 && file !== 2) return BAD_FILE;
            let written = 0;
            for (const buffer of buffers(at, count)) {
                write(file, buffer.slice());
                written += buffer.length;
            }
            view().setUint32(total, written, true);
            return SUCCESS;
        },
        // No folder is open.
        fd_prestat_get: () => BAD_FILE,
        sched_yield: () => SUCCESS,
        proc_exit(code) {
            throw new Exit(code);
        },
    };
    const wanted = WebAssembly.Module.imports(module).filter(({ module }) => module === 'wasi_snapshot_preview1');
    const functions = Object.fromEntries(wanted.map(({ name }) => [name, known[name] ?? (() => NOT_SUPPORTED)]));
    const instance = await WebAssembly.instantiate(module, { wasi_snapshot_preview1: functions });
    memory = instance.exports.memory;
    try {
        instance.exports._start();
    } catch (error) {
        if (!(error instanceof Exit) || error.code !== 0) throw error;
    }
}
