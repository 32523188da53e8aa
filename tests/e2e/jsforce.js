// SPDX-License-Identifier: Apache-2.0
// One worker: log in, query, read, update the opportunity's stage and amount, again and again. Any failure ends it with status 1.
'use strict';
const jsforce = require('jsforce');
const rounds = Number(process.argv[2] || 10);
const id = '006000000000001AAA';

(async () => {
  const conn = new jsforce.Connection({ instanceUrl: 'https://acme.my.salesforce.com', accessToken: '00D5f000000J2PK!token', version: '60.0' });
  for (let i = 0; i < rounds; i++) {
    const amount = 1000 + i;
    const q = await conn.query("SELECT Id, StageName, Amount FROM Opportunity");
    if (q.totalSize !== 1) throw new Error('query: ' + JSON.stringify(q));
    const r = await conn.sobject('Opportunity').update({ Id: id, StageName: 'Negotiation', Amount: amount });
    if (!r.success) throw new Error('update: ' + JSON.stringify(r));
    const o = await conn.sobject('Opportunity').retrieve(id);
    if (o.StageName !== 'Negotiation') throw new Error('retrieve: ' + JSON.stringify(o));
  }
  console.log(rounds * 3 + ' calls');
})().catch(e => { console.error(e); process.exit(1); });
