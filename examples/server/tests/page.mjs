#!/usr/bin/env node
// Clicks through the chat page in a real browser: asks, watches the answer stream, stops one, changes settings, meets an
// error, starts anew. Needs `npm install playwright-core` and a Chromium; prints `N passed, N failed`.
//
//   node examples/server/tests/page.mjs [--browser /usr/bin/chromium] [--server target/release/dino-server] [--shot page.png]

import { spawn } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

function option(name, fallback) {
  const at = process.argv.indexOf("--" + name);
  return at < 0 ? fallback : process.argv[at + 1];
}

let passed = 0, failed = 0;
async function check(name, run) {
  try {
    await run();
    passed++;
    console.log("ok     " + name);
  } catch (error) {
    failed++;
    console.log(`FAILED ${name}: ${error.message}`);
  }
}
function holds(is, message) {
  if (!is) throw new Error(message);
}

// `--lora NAME=PATH` gives a model to choose.
const lora = option("lora");
const server = spawn(option("server", "target/release/dino-server"), ["--port", "0", ...(lora ? ["--lora", lora] : [])], { stdio: ["ignore", "pipe", "inherit"] });
const [line] = await new Promise(resolve => createInterface(server.stdout).once("line", (...lines) => resolve(lines)));
const url = line.split(" at ")[1];
const browser = await chromium.launchPersistentContext(mkdtempSync(join(tmpdir(), "page-")), {
  executablePath: option("browser", "/usr/bin/chromium"),
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"],
  viewport: { width: 900, height: 700 },
});
const page = await browser.newPage();
const problems = [], foreign = [];
page.on("pageerror", error => problems.push(error.message));
page.on("request", request => { if (!request.url().startsWith(url)) foreign.push(request.url()); });
await page.goto(url);
const send = page.locator("#send"), input = page.locator("#input"), turns = page.locator(".turn");
const idle = () => page.waitForFunction(() => document.querySelector("#send").textContent === "Send", null, { timeout: 120000 });

await check("the model's name is shown", async () => {
  await page.waitForFunction(() => document.querySelector("#name").textContent !== "Dino-LLM");
});
await check("adapters can be chosen", async () => {
  holds(await page.locator("#model").isVisible() === Boolean(lora), "the choice is shown where there is none, or not");
  if (!lora) return;
  const name = lora.split("=")[0];
  await page.selectOption("#model", name);
  const [asked] = await Promise.all([page.waitForRequest(/chat/), input.fill("Hello").then(() => send.click())]);
  await idle();
  holds(asked.postDataJSON().model === name, asked.postData());
  holds((await turns.nth(1).locator("span").textContent()).length > 0, "no answer");
  if (option("shot")) await page.screenshot({ path: option("shot").replace(".png", "-adapter.png") });
  await page.selectOption("#model", { index: 0 });
  await page.click("#clear");
});
await check("an answer streams", async () => {
  await page.click("#toggle");
  await page.fill("#temperature", "0");
  await page.fill("#max_tokens", "60");
  await page.click("#toggle");
  await input.fill("What is the capital of France?");
  await input.press("Enter");
  const lengths = new Set();
  while ((await send.textContent()) === "Stop") {
    lengths.add((await turns.nth(1).locator("span").textContent().catch(() => "")).length);
    await page.waitForTimeout(10);
  }
  const text = await turns.nth(1).locator("span").textContent();
  holds(text.length > 10, text);
  holds(lengths.size > 3, `the text was seen at ${lengths.size} lengths`);
  holds(/\d+ tokens/.test(await turns.nth(1).locator("small").textContent()), "no speed is shown");
});
await check("the conversation goes on", async () => {
  await input.fill("And of Italy?");
  await send.click();
  await idle();
  holds((await turns.nth(3).locator("span").textContent()).length > 3, "no second answer");
});
if (option("shot")) await page.screenshot({ path: option("shot") });
await check("an answer can be stopped", async () => {
  await page.click("#toggle");
  await page.fill("#max_tokens", "1500");
  await page.click("#toggle");
  await input.fill("Write a very long story about the sea.");
  await send.click();
  await page.waitForFunction(() => (document.querySelectorAll(".turn")[5]?.textContent ?? "").length > 40, null, { timeout: 60000 });
  await send.click();
  await idle();
  holds((await turns.nth(5).locator("small").textContent()).includes("stopped"), "it does not say so");
  const before = await turns.nth(5).textContent();
  await page.waitForTimeout(500);
  holds(before === await turns.nth(5).textContent(), "it went on");
});
await check("text of the model is no markup", async () => {
  await page.click("#clear");
  await input.fill("<img src=x onerror=\"document.title='run'\"> is this?");
  await page.click("#toggle");
  await page.fill("#max_tokens", "5");
  await page.click("#toggle");
  await send.click();
  await idle();
  holds(await page.locator(".turn img").count() === 0 && await page.title() === "Dino-LLM", "markup was run");
});
await check("an error is shown", async () => {
  await page.click("#toggle");
  await page.fill("#temperature", "-1");
  await page.click("#toggle");
  await input.fill("Hello");
  await send.click();
  await idle();
  holds((await page.locator(".error").last().textContent()).includes("temperature"), "it does not name the setting");
});
await check("a new chat is empty, settings stay", async () => {
  await page.click("#toggle");
  await page.fill("#temperature", "0.5");
  await page.dispatchEvent("#temperature", "change");
  await page.click("#clear");
  holds(await turns.count() === 0, "turns are left");
  await page.reload();
  holds(await page.inputValue("#temperature") === "0.5", "the temperature is forgotten");
});
await check("nothing is loaded from elsewhere, nothing failed", async () => {
  holds(foreign.length === 0, foreign.join(" "));
  holds(problems.length === 0, problems.join(" "));
});

await browser.close();
server.kill();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed || !passed ? 1 : 0);
