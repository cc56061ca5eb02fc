// Starts express-gateway with the configuration of this folder, and makes its users, which it keeps in memory here.
const fs = require('fs')
const path = require('path')
const gateway = require('express-gateway')

// What a user and a credential are made of: the package has that, and looks for it beside the configuration.
const models = path.join(path.dirname(require.resolve('express-gateway')), 'config', 'models')
fs.cpSync(models, path.join(__dirname, 'models'), { recursive: true })

const admin = async (collection, value) => {
  const headers = { 'Content-Type': 'application/json' }
  const answer = await fetch(`http://127.0.0.1:9876/${collection}`, { method: 'POST', headers, body: JSON.stringify(value) })
  if (!answer.ok) throw new Error(`${collection}: ${answer.status} ${await answer.text()}`)
}

gateway().load(__dirname).run().then(async () => {
  await admin('users', { username: 'alice', firstname: 'Alice', lastname: 'Lidell' })
  const credential = { keyId: 'alice', keySecret: 'supersecret' } // Auth-Key: alice:supersecret
  await admin('credentials', { consumerId: 'alice', type: 'key-auth', credential })
})
