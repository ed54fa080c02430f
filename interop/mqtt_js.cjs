'use strict'
// Cases for MQTT.js (npm package mqtt), over TCP and WebSocket, in MQTT 3.1, 3.1.1 and 5.
//
//   node mqtt_js.cjs list
//   node mqtt_js.cjs run CASE tcp://HOST:PORT ws://HOST:PORT/PATH
//
// Exit code 0 means passed, 77 skipped, anything else failed; the last line that is printed says why.

const assert = require('node:assert/strict')

// How long something that has to happen may take on a busy machine, and how long nothing has to happen to be believed.
const PATIENCE_MS = 10_000
const QUIET_MS = 400

const VERSIONS = {
  v31: { protocolId: 'MQIsdp', protocolVersion: 3 },
  v311: { protocolVersion: 4 },
  v5: { protocolVersion: 5 }
}
const V5 = VERSIONS.v5
const TRANSPORTS = ['tcp', 'ws']

class Skip extends Error {}

const cases = new Map()

/** Registers one case for each version and transport that is asked for. */
function each (name, versions, transports, run) {
  for (const version of versions) {
    for (const transport of transports) {
      const variant = transports.length > 1 ? `${version}_${transport}` : version
      cases.set(`${name}_${variant}`, (broker) => run(new Bench(broker[transport], VERSIONS[version])))
    }
  }
}

/** Registers one case for MQTT 5 over TCP. */
function v5 (name, run) {
  cases.set(name, (broker) => run(new Bench(broker.tcp, V5)))
}

/** Makes the clients of one case. */
class Bench {
  constructor (url, version) {
    this.url = url
    this.version = version
    this.hasProperties = version.protocolVersion === 5
    this.mqtt = require('mqtt')
  }

  /** A client that is connected. */
  async client (options = {}) {
    const peer = new Peer(this.mqtt.connect(this.url, { ...this.version, reconnectPeriod: 0, ...options }))
    await peer.connected()
    return peer
  }

  /** What makes a session outlive its connection in this version. */
  session (clientId, options = {}) {
    const properties = this.hasProperties ? { properties: { sessionExpiryInterval: 100 } } : {}
    return this.client({ clientId, clean: false, ...properties, ...options })
  }
}

/** A client whose events are waited for one after the other. */
class Peer {
  constructor (client) {
    this.client = client
    this.messages = new Line()
    this.connacks = new Line()
    this.disconnects = new Line()
    this.closes = new Line()
    client.on('message', (topic, payload, packet) => this.messages.put({ ...packet, topic, payload }))
    client.on('connect', (packet) => this.connacks.put(packet))
    client.on('disconnect', (packet) => this.disconnects.put(packet))
    client.on('close', () => this.closes.put(true))
    client.on('error', (error) => console.log('client error:', error.message))
  }

  async connected () {
    this.connack = await this.connacks.next('CONNACK')
  }

  subscribe (topic, options = { qos: 1 }) {
    return within(this.client.subscribeAsync(topic, options), `SUBACK for ${topic}`)
  }

  publish (topic, payload, options = { qos: 1 }) {
    return within(this.client.publishAsync(topic, payload, options), `the acknowledgement of ${topic}`)
  }

  /** Publishes numbers, as many at a time as the broker takes; the package does not look at that limit itself. */
  async publishMany (topic, count, qos) {
    const atOnce = qos === 0 ? count : this.connack.properties?.receiveMaximum ?? count
    for (let start = 0; start < count; start += atOnce) {
      const numbers = Array.from({ length: Math.min(atOnce, count - start) }, (_, at) => start + at)
      await Promise.all(numbers.map((number) => this.publish(topic, String(number), { qos })))
    }
  }

  message () {
    return this.messages.next('a message')
  }

  /** Makes sure that no message comes. */
  async quiet (ms = QUIET_MS) {
    await sleep(ms)
    assert.deepEqual(this.messages.waiting.map((message) => message.topic), [], 'messages that should not come')
  }

  end (options = {}) {
    return within(this.client.endAsync(false, options), 'the end of a connection')
  }

  /** Cuts the connection without DISCONNECT. */
  cut () {
    this.client.stream.destroy()
  }
}

/** A queue that is waited on. */
class Line {
  constructor () {
    this.waiting = []
    this.takers = []
  }

  put (value) {
    const taker = this.takers.shift()
    if (taker) taker(value)
    else this.waiting.push(value)
  }

  next (what) {
    if (this.waiting.length > 0) return Promise.resolve(this.waiting.shift())
    return within(new Promise((resolve) => this.takers.push(resolve)), what)
  }
}

function sleep (ms) {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** Fails when something does not happen in time. */
function within (promise, what) {
  let timer
  const late = new Promise((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not come within ${PATIENCE_MS} ms`)), PATIENCE_MS)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

const ALL = Object.keys(VERSIONS)

each('round_trip', ALL, TRANSPORTS, async (bench) => {
  const [publisher, subscriber] = [await bench.client(), await bench.client()]
  for (const granted of [0, 1, 2]) {
    await subscriber.subscribe(`round/${granted}`, { qos: granted })
    for (const qos of [0, 1, 2]) {
      const payload = Buffer.from([0, 255, granted, qos])
      await publisher.publish(`round/${granted}`, payload, { qos })
      const message = await subscriber.message()
      assert.equal(message.topic, `round/${granted}`)
      assert.deepEqual(message.payload, payload)
      assert.deepEqual([message.qos, message.retain, message.dup], [Math.min(granted, qos), false, false])
    }
  }
})

each('retained', ALL, ['tcp'], async (bench) => {
  const publisher = await bench.client()
  await publisher.publish('kept/a', 'A', { qos: 1, retain: true })
  await publisher.publish('kept/b', 'B', { qos: 2, retain: true })
  const first = await bench.client()
  await first.subscribe('kept/+')
  const seen = [await first.message(), await first.message()]
  assert.deepEqual(seen.map((message) => [message.topic, message.retain, String(message.payload)]).sort(),
    [['kept/a', true, 'A'], ['kept/b', true, 'B']])
  await publisher.publish('kept/a', '', { qos: 1, retain: true })
  await publisher.publish('kept/b', '', { qos: 1, retain: true })
  const second = await bench.client()
  await second.subscribe('kept/#')
  await second.quiet()
})

each('will', ALL, TRANSPORTS, async (bench) => {
  const observer = await bench.client()
  await observer.subscribe('wills/#')
  const will = { topic: 'wills/me', payload: Buffer.from('gone'), qos: 1, retain: false }
  const polite = await bench.client({ will })
  await polite.end()
  await observer.quiet()
  const mortal = await bench.client({ will })
  mortal.cut()
  assert.equal(String((await observer.message()).payload), 'gone')
})

each('resume', ALL, TRANSPORTS, async (bench) => {
  const sleeper = await bench.session('sleeper')
  assert.equal(Boolean(sleeper.connack.sessionPresent), false)
  await sleeper.subscribe('dreams', { qos: 2 })
  await sleeper.end()
  const publisher = await bench.client()
  for (let number = 0; number < 10; number++) await publisher.publish('dreams', String(number), { qos: 2 })
  const again = await bench.session('sleeper')
  if (bench.version.protocolVersion > 3) assert.equal(again.connack.sessionPresent, true)
  for (let number = 0; number < 10; number++) assert.equal(String((await again.message()).payload), String(number))
})

each('reconnect', ALL, TRANSPORTS, async (bench) => {
  // The client comes back by itself, subscribes again and sends what it could not send meanwhile.
  const observer = await bench.client()
  await observer.subscribe('away')
  const peer = await bench.client({ clientId: 'returning', reconnectPeriod: 100 })
  await peer.subscribe('home')
  const subacks = new Line()
  peer.client.on('packetreceive', (packet) => packet.cmd === 'suback' && subacks.put(packet))
  peer.cut()
  await peer.closes.next('the cut')
  const published = peer.publish('away', 'queued')
  await peer.connected()
  await published
  assert.equal(String((await observer.message()).payload), 'queued')
  await subacks.next('a second SUBACK')
  await observer.publish('home', 'welcome')
  assert.equal(String((await peer.message()).payload), 'welcome')
})

each('store', ['v31', 'v311'], TRANSPORTS, async (bench) => {
  // Messages whose acknowledgements were cut off are sent again; at QoS 2 none is delivered twice.
  const subscriber = await bench.client()
  await subscriber.subscribe('stored', { qos: 2 })
  const peer = await bench.client({ clientId: 'keeper', clean: false, reconnectPeriod: 50 })
  const published = []
  for (let number = 0; number < 100; number++) {
    published.push(peer.publish('stored', String(number), { qos: 2 }))
    if (number % 30 === 10) await sleep(1).then(() => peer.cut())
  }
  await Promise.all(published)
  const seen = []
  for (let number = 0; number < 100; number++) seen.push(Number((await subscriber.message()).payload))
  await subscriber.quiet()
  assert.deepEqual(seen.sort((one, other) => one - other), Array.from({ length: 100 }, (_, number) => number))
})

each('large_payload', ALL, TRANSPORTS, async (bench) => {
  const peer = await bench.client()
  await peer.subscribe('large', { qos: 2 })
  const payload = Buffer.alloc(300_000, 'abcdefghijklm')
  for (const qos of [0, 1, 2]) {
    await peer.publish('large', payload, { qos })
    assert.equal(Buffer.compare((await peer.message()).payload, payload), 0)
  }
})

each('order', ALL, TRANSPORTS, async (bench) => {
  const [publisher, subscriber] = [await bench.client(), await bench.client()]
  await subscriber.subscribe('burst/#', { qos: 2 })
  for (const qos of [0, 1, 2]) {
    await publisher.publishMany(`burst/${qos}`, 200, qos)
    for (let number = 0; number < 200; number++) assert.equal(String((await subscriber.message()).payload), String(number))
  }
})

each('unsubscribe', ALL, ['tcp'], async (bench) => {
  const peer = await bench.client()
  await peer.subscribe(['one', 'two'])
  await within(peer.client.unsubscribeAsync('one'), 'UNSUBACK')
  await peer.publish('one', '')
  await peer.publish('two', '')
  assert.equal((await peer.message()).topic, 'two')
})

each('keep_alive', ALL, TRANSPORTS, async (bench) => {
  const peer = await bench.client({ keepalive: 1 })
  await sleep(3500)
  assert.equal(peer.client.connected, true)
  assert.equal(peer.closes.waiting.length, 0)
})

each('take_over', ALL, ['tcp'], async (bench) => {
  const first = await bench.client({ clientId: 'same' })
  const second = await bench.client({ clientId: 'same' })
  if (bench.hasProperties) assert.equal((await first.disconnects.next('DISCONNECT')).reasonCode, 0x8E)
  await first.closes.next('the end of the first connection')
  await second.publish('x', '')
})

each('refused_subscription', ['v311', 'v5'], TRANSPORTS, async (bench) => {
  const peer = await bench.client()
  const refused = await peer.subscribe('test/nosubscribe').then((granted) => granted[0].qos, (error) => error.code ?? 0x80)
  assert.equal(refused, 0x80)
  await peer.subscribe('allowed')
})

v5('properties', async (bench) => {
  const [publisher, subscriber] = [await bench.client(), await bench.client()]
  await subscriber.subscribe('described')
  const properties = {
    payloadFormatIndicator: true,
    contentType: 'text/plain',
    responseTopic: 'reply/here',
    correlationData: Buffer.from([0, 255]),
    userProperties: { name: ['one', 'two'], other: 'three' }
  }
  await publisher.publish('described', 'text', { qos: 1, properties })
  const seen = (await subscriber.message()).properties
  assert.deepEqual({ ...seen, userProperties: { ...seen.userProperties } }, properties)
})

v5('request_and_response', async (bench) => {
  const [asker, answerer] = [await bench.client(), await bench.client()]
  await answerer.subscribe('questions')
  await asker.subscribe('answers/asker')
  const correlationData = Buffer.from('17')
  await asker.publish('questions', '6*7', { qos: 1, properties: { responseTopic: 'answers/asker', correlationData } })
  const question = await answerer.message()
  const echo = { correlationData: question.properties.correlationData }
  await answerer.publish(question.properties.responseTopic, '42', { qos: 1, properties: echo })
  const answer = await asker.message()
  assert.deepEqual([String(answer.payload), answer.properties.correlationData], ['42', correlationData])
})

v5('aliases_from_the_client', async (bench) => {
  const publisher = await bench.client({ autoAssignTopicAlias: true })
  if (!publisher.connack.properties?.topicAliasMaximum) throw new Skip('the broker takes no topic alias')
  const subscriber = await bench.client()
  await subscriber.subscribe('alias/#')
  for (let number = 0; number < 30; number++) {
    await publisher.publish(`alias/${number % 3}`, String(number))
    const message = await subscriber.message()
    assert.deepEqual([message.topic, String(message.payload)], [`alias/${number % 3}`, String(number)])
  }
})

v5('aliases_from_the_broker', async (bench) => {
  const publisher = await bench.client()
  const subscriber = await bench.client({ properties: { topicAliasMaximum: 3 } })
  await subscriber.subscribe('alias/#')
  let aliases = 0
  for (let number = 0; number < 30; number++) {
    await publisher.publish(`alias/${number % 5}`, String(number))
    const message = await subscriber.message()
    assert.deepEqual([message.topic, String(message.payload)], [`alias/${number % 5}`, String(number)])
    if (message.properties?.topicAlias) aliases++
  }
  if (aliases === 0) throw new Skip('the broker assigns no topic alias')
})

v5('subscription_identifiers', async (bench) => {
  const peer = await bench.client()
  await peer.subscribe('ids/#', { qos: 1, properties: { subscriptionIdentifier: 5 } })
  await peer.subscribe('ids/+', { qos: 1, properties: { subscriptionIdentifier: 9 } })
  await peer.publish('ids/a', '')
  const seen = []
  while (seen.length < 2) seen.push(...[(await peer.message()).properties.subscriptionIdentifier].flat())
  assert.deepEqual(seen.sort(), [5, 9])
})

v5('subscription_options', async (bench) => {
  const [one, other] = [await bench.client(), await bench.client()]
  await one.subscribe('local', { qos: 1, nl: true })
  await other.subscribe('local', { qos: 1, rap: true })
  await one.publish('local', 'mine', { qos: 1, retain: true })
  assert.equal((await other.message()).retain, true)
  await one.quiet()
  await one.subscribe('local', { qos: 1, rh: 2 })
  await one.quiet()
  await one.subscribe('local', { qos: 1, rh: 0 })
  assert.equal((await one.message()).retain, true)
})

v5('shared_subscription', async (bench) => {
  const members = [await bench.client(), await bench.client(), await bench.client()]
  for (const member of members) await member.subscribe('$share/group/jobs/#', { qos: 2 })
  const publisher = await bench.client()
  for (let number = 0; number < 30; number++) await publisher.publish(`jobs/${number}`, String(number), { qos: 2 })
  await members[0].client.publishAsync('jobs', '')
  await sleep(QUIET_MS)
  const seen = members.flatMap((member) => member.messages.waiting.map((message) => String(message.payload)))
  const jobs = seen.filter((text) => text !== '').map(Number).sort((one, another) => one - another)
  assert.deepEqual(jobs, Array.from({ length: 30 }, (_, number) => number))
})

v5('receive_maximum', async (bench) => {
  // No more messages are under way than the subscriber takes at a time, and none is lost.
  const subscriber = await bench.client({ properties: { receiveMaximum: 5 } })
  await subscriber.subscribe('window', { qos: 2 })
  const publisher = await bench.client()
  await publisher.publishMany('window', 100, 2)
  for (let number = 0; number < 100; number++) assert.equal(String((await subscriber.message()).payload), String(number))
})

v5('maximum_packet_size', async (bench) => {
  const small = await bench.client({ properties: { maximumPacketSize: 100 } })
  await small.subscribe('sizes')
  const publisher = await bench.client()
  await publisher.publish('sizes', Buffer.alloc(500))
  await publisher.publish('sizes', 'fits')
  assert.equal(String((await small.message()).payload), 'fits')
})

v5('delayed_will', async (bench) => {
  const observer = await bench.client()
  await observer.subscribe('wills/#')
  const will = { topic: 'wills/me', payload: Buffer.from('gone'), qos: 1, properties: { willDelayInterval: 1 } }
  const mortal = await bench.session('mortal', { will })
  mortal.cut()
  const start = Date.now()
  await observer.message()
  const delay = Date.now() - start
  assert.ok(delay >= 900 && delay <= 2000, `the will came after ${delay} ms`)
})

v5('message_expiry', async (bench) => {
  const sleeper = await bench.session('sleeper')
  await sleeper.subscribe('expiring')
  await sleeper.end()
  const publisher = await bench.client()
  await publisher.publish('expiring', 'short', { qos: 1, properties: { messageExpiryInterval: 1 } })
  await publisher.publish('expiring', 'long', { qos: 1, properties: { messageExpiryInterval: 60 } })
  await sleep(2200)
  const message = await (await bench.session('sleeper')).message()
  assert.equal(String(message.payload), 'long')
  assert.ok(message.properties.messageExpiryInterval >= 56 && message.properties.messageExpiryInterval <= 58)
})

v5('answers_in_connack', async (bench) => {
  const peer = await bench.client({ clientId: '', keepalive: 600 })
  assert.ok(peer.connack.properties.assignedClientIdentifier)
  assert.equal(peer.connack.properties.serverKeepAlive, 60)
})

async function run (name, tcp, ws) {
  try {
    await cases.get(name)({ tcp, ws })
    process.exit(0)
  } catch (error) {
    console.log(error instanceof Skip ? error.message : error.stack)
    console.log(error.message.replaceAll('\n', ' '))
    process.exit(error instanceof Skip ? 77 : 1)
  }
}

const [verb, ...rest] = process.argv.slice(2)
if (verb === 'list') console.log([...cases.keys()].join('\n'))
else run(...rest)
