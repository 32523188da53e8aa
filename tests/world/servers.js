// SPDX-License-Identifier: Apache-2.0
// Every server of the private internet: the customer's Salesforce org, another org, AI vendors, a paste site, a proxy. Real TLS, real
// HTTP/1.1 and HTTP/2. Each request is written to the log as one JSON line, its body as it arrived: this is what "arrived" means.
'use strict';
const fs = require('fs'), http = require('http'), http2 = require('http2'), net = require('net'), dgram = require('dgram'), zlib = require('zlib'), path = require('path');
const [, , certFile, keyFile, logFile, addressFile] = process.argv;
const where = JSON.parse(fs.readFileSync(addressFile));
const log = fs.openSync(logFile, 'a');
const tls = { cert: fs.readFileSync(certFile), key: fs.readFileSync(keyFile), allowHTTP1: true };
const records = new Map([['006000000000001AAA', { Id: '006000000000001AAA', Name: 'Acme - 200 seats', StageName: 'Prospecting', Amount: 1000 }]]);
let calls = 0;

function note(o) { fs.writeSync(log, JSON.stringify(o) + '\n'); }

function reply(res, status, body) {
  let text = body === undefined ? '' : JSON.stringify(body);
  const taken = text && res.req.headers['accept-encoding'] || '', coding = /gzip/.test(taken) ? 'gzip' : /br/.test(taken) ? 'br' : ''; // as the org's edge does
  if (coding) text = coding === 'br' ? zlib.brotliCompressSync(text) : zlib.gzipSync(text);
  res.writeHead(status, { 'content-type': 'application/json', ...(coding ? { 'content-encoding': coding } : {}), 'x-sfdc-request-id': (++calls).toString(16).padStart(32, '0'),
    'sforce-limit-info': `api-usage=${calls}/150000` });
  res.end(text);
}

// Enough of the REST API for jsforce: token, versions, sobjects, query, limits.
function salesforce(req, res, body, host) {
  const url = new URL(req.url, 'https://' + host), at = url.pathname;
  let m;
  if (url.searchParams.has('fails')) // an error as the API gives it, with what it is about in its text
    return reply(res, 400, [{ errorCode: 'INVALID_FIELD', message: `no such column '${url.searchParams.get('fails')}'`, fields: [] }]);
  // Two people: who asks as "admin", or with what it was given, is the second; a token of anybody else's is nobody's.
  const person = text => /admin/.test(text) ? '0055j000000utlQAAQ' : '0055j000000utlPAAQ', given = (req.headers.authorization || '').slice(7);
  if (at === '/services/oauth2/token')
    return reply(res, 200, { access_token: '00D5f000000J2PK!' + (/admin/.test(body) ? 'admintoken' : 'token'), instance_url: 'https://' + host, token_type: 'Bearer',
      id: `https://login.salesforce.com/id/00D5f000000J2PKEA0/${person(body)}` });
  if (at === '/services/oauth2/userinfo')
    return reply(res, 200, { sub: `https://login.salesforce.com/id/00D5f000000J2PKEA0/${person(given)}`, user_id: person(given), organization_id: '00D5f000000J2PKEA0' });
  if (/^\/services\/Soap\/u\//.test(at) && /<(\w+:)?login>/.test(body)) {
    res.writeHead(200, { 'content-type': 'text/xml' });
    return res.end('<?xml version="1.0"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body><loginResponse><result>' +
      `<sessionId>00D5f000000J2PK!${/admin/.test(body) ? 'admin' : 'soap'}session</sessionId><userId>${person(body)}</userId><userInfo><organizationId>00D5f000000J2PKEA0</organizationId>` +
      '</userInfo></result></loginResponse></soapenv:Body></soapenv:Envelope>');
  }
  if (at === '/frame') { // what another site shows inside a page, and what it asks for
    res.writeHead(200, { 'content-type': 'text/html' });
    return res.end("<script>fetch('/beside').catch(()=>{});setInterval(()=>fetch('https://api.ai-vendor.example/talk?t=frame',{method:'POST',mode:'no-cors',body:'{}'}),1000)</script>");
  }
  if (at === '/services/data/' || at === '/services/data') return reply(res, 200, [{ version: '60.0', url: '/services/data/v60.0' }]);
  if ((m = at.match(/^\/services\/data\/v[\d.]+\/sobjects\/Opportunity\/(\w{15,18})$/))) {
    const r = records.get(m[1]);
    if (!r) return reply(res, 404, [{ errorCode: 'NOT_FOUND', message: 'The requested resource does not exist' }]);
    if (req.method === 'PATCH') { Object.assign(r, JSON.parse(body)); return reply(res, 204); }
    return reply(res, 200, { attributes: { type: 'Opportunity' }, ...r });
  }
  // What has an id of its own to say: which it made is in the log, for who reads it.
  const made = n => { const ids = [...Array(n).keys()].map(i => `00T5j0000000${calls % 10}${i}AAA`.slice(0, 15)); note({ call: req.url, made: ids }); return ids; };
  if (req.method === 'POST' && (m = at.match(/^\/services\/data\/v[\d.]+\/sobjects\/(\w+)\/?$/)))
    return reply(res, 201, { id: made(1)[0], success: true, errors: [] });
  if (/\/sobjects\/\w+\/describe/.test(at)) return reply(res, 200, { name: 'Lead', fields: [{ name: 'Id' }, { name: 'Name' }, { name: 'Amount' }] });
  if (/^\/services\/data\/v[\d.]+\/composite\/sobjects\/\w/.test(at) && req.method === 'POST') return reply(res, 200, JSON.parse(body).ids.map(() => null));
  if (/^\/services\/data\/v[\d.]+\/composite\/sobjects/.test(at) && req.method !== 'GET') {
    const list = req.method === 'DELETE' ? url.searchParams.get('ids').split(',').map(id => ({ id })) : JSON.parse(body).records;
    const ids = req.method === 'POST' ? made(list.length) : list.map(r => r.id || r.Id);
    return reply(res, 200, ids.map(id => ({ id, success: true, errors: [] })));
  }
  if (/^\/services\/data\/v[\d.]+\/composite\/sobjects/.test(at)) return reply(res, 200, []);
  if (/^\/services\/data\/v[\d.]+\/jobs\/ingest\/?$/.test(at))
    return reply(res, 200, { id: '7505j00000AbCdEAAV', operation: JSON.parse(body).operation, object: JSON.parse(body).object, state: 'Open' });
  if (/^\/services\/data\/v[\d.]+\/(tooling\/)?query/.test(at))
    return reply(res, 200, { totalSize: records.size, done: true, records: [...records.values()].map(r => ({ attributes: { type: 'Opportunity' }, ...r })) });
  if (/^\/services\/data\/v[\d.]+\/limits/.test(at)) return reply(res, 200, { DailyApiRequests: { Max: 150000, Remaining: 150000 - calls } });
  reply(res, 200, { ok: true });
}

function handler(secure) {
  return (req, res) => {
    const chunks = [];
    let size = 0;
    req.on('data', c => { size += c.length; if (size <= 65536) chunks.push(c); });
    req.on('end', () => {
      const host = (req.headers[':authority'] || req.headers.host || '').split(':')[0];
      const body = Buffer.concat(chunks).toString('latin1');
      if (!/quiet/.test(req.url))
        note({ ip: req.socket.localAddress, sni: req.socket.servername || null, host, method: req.method, url: req.url, size, body, secure,
          auth: req.headers.authorization || '' });
      salesforce(req, res, size <= 65536 ? body : '{}', host);
    });
    req.on('error', () => {});
  };
}

// A forward proxy that knows CONNECT, and plain requests, which a session must not get through.
function proxy() {
  const s = http.createServer((req, res) => {
    let body = '';
    req.on('data', c => { body += c; });
    req.on('end', () => { note({ proxy: true, method: req.method, url: req.url, body }); res.end('proxied'); });
  });
  s.on('connect', (req, client, head) => {
    const [host, port] = req.url.split(':');
    note({ proxy: true, method: 'CONNECT', url: req.url });
    const ip = where.names[host];
    if (!ip) return client.end('HTTP/1.1 502 no such host\r\n\r\n');
    const up = net.connect(Number(port), ip[0], () => { client.write('HTTP/1.1 200 ok\r\n\r\n'); up.write(head); up.pipe(client); client.pipe(up); });
    up.on('error', () => client.destroy());
    client.on('error', () => up.destroy());
  });
  return s;
}

// WebSockets, where the client's package is installed: what a speech model is talked to through.
let sockets = null, WebSocket = null;
try { WebSocket = require(path.join(__dirname, '../e2e/node_modules/ws')); sockets = new WebSocket.WebSocketServer({ noServer: true, perMessageDeflate: true }); } catch { }

function speak(ws, host) {
  ws.on('message', m => { note({ ws: true, host, body: m.toString('latin1') }); ws.send('ok'); });
  ws.on('error', () => {});
}

function upgrade(req, socket, head) {
  if (!sockets) return socket.destroy();
  sockets.handleUpgrade(req, socket, head, ws => speak(ws, req.headers.host));
}

// ... over HTTP/2, RFC 8441: a stream is the connection.
function extended(req, res) {
  if (!sockets || req.headers[':protocol'] !== 'websocket') { res.statusCode = 405; return res.end(); }
  const ws = new WebSocket(null, undefined, {});
  req.stream.respond({ ':status': 200 });
  req.stream.setNoDelay = () => {};
  ws.setSocket(req.stream, Buffer.alloc(0), { maxPayload: 1 << 20 });
  speak(ws, req.headers[':authority']);
}

const wait = [];
for (const ip of where.addresses) {
  const t = http2.createSecureServer({ ...tls, settings: { enableConnectProtocol: true } }, handler(true)), p = http.createServer(handler(false));
  t.on('upgrade', upgrade); t.on('connect', extended); t.on('sessionError', () => {}); t.on('tlsClientError', () => {}); t.on('secureConnection', s => s.on('error', () => {}));
  wait.push(new Promise(ok => t.listen(443, ip, ok)), new Promise(ok => p.listen(80, ip, ok)));
  const u = dgram.createSocket(ip.includes(':') ? 'udp6' : 'udp4');
  u.on('message', m => note({ udp: true, ip, body: m.toString('latin1') }));
  wait.push(new Promise(ok => u.bind(9999, ip, ok)));
}
wait.push(new Promise(ok => proxy().listen(3128, where.proxy, ok)));
Promise.all(wait).then(() => console.log('ready'));
process.on('uncaughtException', e => { if (!['ECONNRESET', 'EPIPE'].includes(e.code)) { console.error(e); process.exit(1); } });
