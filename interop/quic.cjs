// MQTT.js over QUIC: quiche, the stack of Cloudflare, in @matrixai/quic.
//
//   node quic.cjs PORT VERSION AUTHORITY [CERTIFICATE KEY]
//
// Exit code 0 when everything came back, 3 when the connection failed; the last line says more.

const fs = require('fs')
const path = require('path')
const { Duplex } = require('stream')
const { pathToFileURL } = require('url')
const mqtt = require('mqtt')

const [port, version, authority, certificate, key] = process.argv.slice(2)
const SIZES = [0, 1, 1200, 65535, 300000]

function end (code, text) {
  console.log(text)
  process.exit(code)
}

// The package has an entrance for modules only.
const entrance = path.join(process.env.NODE_PATH, '@matrixai/quic/dist/index.js')

async function connect () {
  const { QUICClient } = await import(pathToFileURL(entrance))
  const read = (name) => fs.readFileSync(name, 'utf8')
  const show = certificate ? { cert: read(certificate), key: read(key) } : {}
  const client = await QUICClient.createQUICClient({
    host: '127.0.0.1',
    port: Number(port),
    localHost: '127.0.0.1',
    serverName: 'localhost',
    crypto: { ops: { randomBytes: async (room) => { crypto.getRandomValues(new Uint8Array(room)) } } },
    config: { ca: read(authority), verifyPeer: true, applicationProtos: ['mqtt'], maxIdleTimeout: 20000, ...show }
  })
  const { readable, writable } = client.connection.newStream('bidi')
  return Duplex.fromWeb({ readable, writable })
}

async function talk (stream) {
  const client = new mqtt.MqttClient(() => stream, { protocolVersion: Number(version), reconnectPeriod: 0 })
  client.on('error', (error) => end(3, `error: ${error.message}`))
  client.on('close', () => end(3, 'closed'))
  await new Promise((resolve) => client.once('connect', resolve))
  let whole = 0
  const content = (size) => Buffer.from(Array.from({ length: size }, (_, at) => at % 251))
  const all = new Promise((resolve) => {
    client.on('message', (topic, payload) => {
      if (payload.equals(content(Number(topic.split('/')[1])))) whole += 1
      if (whole === 3 * SIZES.length) resolve()
    })
  })
  await client.subscribeAsync('quic/#', { qos: 2 })
  for (const size of SIZES) {
    for (const qos of [0, 1, 2]) await client.publishAsync(`quic/${size}/${qos}`, content(size), { qos })
  }
  await all
  end(0, `${whole} messages came back whole`)
}

process.on('uncaughtException', (error) => end(3, `error: ${error.message}`))
connect().then(talk).catch((error) => end(3, `error: ${error.message}`))
