// SPDX-License-Identifier: MIT
// A Raspberry Pi Pico in the emulator rp2040js (npm), its UART0 on a port of 127.0.0.1, which is printed:
//     node rp2040.mjs FOLDER_OF_RP2040JS IMAGE ADDRESS
// The image begins with its vector table at ADDRESS; the boot ROM is not run. Ends with its standard input, whose lines ask:
//     count              the instructions executed so far
//     memory ADDRESS N   N bytes, in hex
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const [folder, image, address] = process.argv.slice(2);
const FLASH = 0x10000000, VTOR = 0xe000ed08, AT_ONCE = 200000;
const { RP2040 } = await import(pathToFileURL(`${folder}/dist/esm/index.js`));

const chip = new RP2040();
chip.logger = { debug() {}, info() {}, warn() {}, error(name, text) { console.error(name, text); } };
chip.flash.set(readFileSync(image), Number(address) - FLASH);
chip.writeUint32(VTOR, Number(address));
chip.core.SP = chip.readUint32(Number(address));
chip.core.PC = chip.readUint32(Number(address) + 4) & ~1;

const uart = chip.uart[0], received = [], sent = [];
let peer = null, count = 0;
uart.onByte = byte => sent.push(byte);

// Runs until the core sleeps and nothing waits for it; the host is looked at in between.
function run() {
    for (let i = 0; i < AT_ONCE; i++) {
        if (received.length && uart.rxFIFO.empty)
            uart.feedByte(received.shift());
        if (!chip.core.waiting) {
            chip.core.executeInstruction();
            count++;
        } else if (!received.length)
            break;
    }
    if (sent.length && peer)
        peer.write(Buffer.from(sent.splice(0)));
    setTimeout(run, chip.core.waiting && !received.length ? 1 : 0);
}

const server = createServer(socket => {
    peer = socket.setNoDelay(true);
    socket.on('data', data => { for (const byte of data) received.push(byte); });
    socket.on('error', () => {});
});
server.listen(0, '127.0.0.1', () => { console.log(server.address().port); run(); });
function answer(line) {
    const [what, ...numbers] = line.split(' ');
    if (what === 'count')
        return String(count);
    const [start, n] = numbers.map(Number), bytes = Buffer.alloc(n);
    for (let i = 0; i < n; i++)
        bytes[i] = chip.readUint8(start + i);
    return bytes.toString('hex');
}

createInterface({ input: process.stdin }).on('line', line => console.log(answer(line))).on('close', () => process.exit(0));
