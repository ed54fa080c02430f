// MQTT.js inside a page of headless Chromium: serves the page, opens it, and prints what the page says.
//
//   node browser.cjs CHROMIUM URL VERSION
//
// Exit code 0 when everything came through, 3 when the connection failed; the last line says more.

const fs = require('fs')
const http = require('http')
const path = require('path')

// In the page. Payloads of every size class of WebSocket frames, with all byte values, at each quality of service.
async function talk (url, protocolVersion) {
  const mqtt = globalThis.mqtt
  const client = await new Promise((resolve, reject) => {
    const client = mqtt.connect(url, { protocolVersion, reconnectPeriod: 0, connectTimeout: 8000, clean: true })
    client.on('connect', () => resolve(client))
    client.on('error', reject)
    client.on('close', () => reject(new Error('closed')))
  })
  const arrived = new Map()
  client.on('message', (topic, payload) => arrived.set(topic, payload))
  await client.subscribeAsync('page/#', { qos: 2 })
  const sizes = [0, 125, 126, 65535, 65536, 300000]
  for (const size of sizes) {
    for (const qos of [0, 1, 2]) {
      const payload = new Uint8Array(size).map((_, at) => at % 256)
      await client.publishAsync(`page/${size}/${qos}`, payload, { qos })
    }
  }
  const until = performance.now() + 10000
  while (arrived.size < sizes.length * 3 && performance.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  let good = 0
  for (const [topic, payload] of arrived) {
    const whole = payload.length === Number(topic.split('/')[1])
    good += whole && payload.every((byte, at) => byte === at % 256) ? 1 : 0
  }
  await client.endAsync()
  return `${good} of ${sizes.length * 3} messages came back whole`
}

async function main ([chromium, url, version]) {
  const puppeteer = require('puppeteer-core')
  const script = path.join(path.dirname(require.resolve('mqtt/package.json')), 'dist/mqtt.min.js')
  const server = http.createServer((request, response) => {
    const page = request.url === '/mqtt.js' ? fs.readFileSync(script) : '<!doctype html><script src="/mqtt.js"></script>'
    response.setHeader('Content-Type', request.url === '/mqtt.js' ? 'text/javascript' : 'text/html')
    response.end(page)
  })
  await new Promise((resolve) => server.listen(Number(process.env.PAGE_PORT || 0), '127.0.0.1', resolve))
  const browser = await puppeteer.launch({
    executablePath: chromium,
    headless: true,
    acceptInsecureCerts: true,
    // As root, and in containers, Chromium cannot build its sandbox; the page is our own.
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-quic', '--no-first-run']
  })
  try {
    const page = await browser.newPage()
    await page.goto(`http://127.0.0.1:${server.address().port}/`)
    console.log(await page.evaluate(talk, url, Number(version)))
    return 0
  } catch (error) {
    console.log(`error: ${error.message.split('\n')[0]}`)
    return 3
  } finally {
    await browser.close()
    server.close()
  }
}

main(process.argv.slice(2)).then((code) => process.exit(code))
