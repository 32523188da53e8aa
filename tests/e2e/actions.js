// SPDX-License-Identifier: Apache-2.0
// What an assistant does through jsforce, once each: rows, queries and their next page, collections, upsert, describe, Bulk 2, SOAP, Tooling,
// identity, limits. Any failure ends it with status 1.
'use strict';
const jsforce = require('jsforce');
const OPP = '006000000000001AAA', ACC = '0015j00000AbCdEAAV';

(async () => {
  const conn = new jsforce.Connection({ instanceUrl: 'https://acme.my.salesforce.com', accessToken: '00D5f000000J2PK!token', version: '60.0' });
  conn.bulk2.pollInterval = 50;
  await conn.query("SELECT Id, (SELECT Id FROM Contacts) FROM Account WHERE Name = 'secret FROM Lead'");
  await conn.queryMore('/services/data/v60.0/query/01g5j00000AbCdEAAV-2000');
  await conn.sobject('Opportunity').retrieve(OPP);
  await conn.sobject('Opportunity').retrieve([OPP, '006000000000002AAA']);
  await conn.sobject('Opportunity').update({ Id: OPP, StageName: 'secret-stage', Amount: 7 });
  await conn.sobject('Opportunity').update([{ Id: OPP, StageName: 'secret-stage' }, { Id: '006000000000002AAA', NextStep: 'secret-step' }]);
  await conn.sobject('Task').create({ Subject: 'secret-subject', WhatId: OPP });
  await conn.sobject('Contact').create([{ LastName: 'secret-one' }, { LastName: 'secret-two', Email: 'secret@example.com' }]);
  await conn.sobject('Account').upsert({ Ext__c: 'secret-key', Name: 'secret-name' }, 'Ext__c');
  await conn.sobject('Task').destroy('00T5j00000AbCdEEAV');
  await conn.sobject('Account').destroy([ACC, '0015j00000AbCdFAAV']);
  await conn.sobject('Lead').describe();
  await conn.tooling.query('SELECT Id, Body FROM ApexClass');
  await conn.tooling.sobject('ApexClass').retrieve('01p5j00000AbCdEAAV');
  await conn.soap.update([{ type: 'Opportunity', Id: OPP, StageName: 'secret-stage', Amount: 9 }]).catch(e => { if (!/secret/.test(e)) throw e; });
  await conn.identity().catch(() => {});
  await conn.limits();
  const job = conn.bulk2.createJob({ object: 'Lead', operation: 'update' });
  await job.open();
  await job.uploadData('Id,Company,Email\n00Q5j00000AbCdEEAV,"secret, inc",secret@example.com\n');
  await job.close();
  await conn.request({ method: 'POST', url: '/services/data/v60.0/composite', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ compositeRequest: [
    { method: 'PATCH', url: '/services/data/v60.0/sobjects/Account/' + ACC, referenceId: 'a', body: { Phone: 'secret' } },
    { method: 'POST', url: '/services/data/v60.0/sobjects/Case', referenceId: 'b', body: { Subject: 'secret' } }] }) });
  console.log('done');
})().catch(e => { console.error(e); process.exit(1); });
