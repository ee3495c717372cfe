// Tickets by hand, a session that has made and taken some, and the patterns that a new automation begins with.
import assert from 'node:assert/strict'
import { inspect, scenario, signIn, until } from './browser.mjs'

await scenario(async ({ open, step }) => {
  const page = await open()
  const heading = name => page.getByRole('heading', { level: 1, name, exact: true })

  step('no tickets yet')
  await page.goto('/tickets')
  await signIn(page)
  await page.getByRole('heading', { name: 'No tickets yet' }).waitFor()

  step('a ticket with a mistake keeps what was typed')
  await page.getByRole('link', { name: 'New ticket' }).first().click()
  await heading('New ticket').waitFor()
  await page.getByLabel('Description').fill('Seen on **Monday**.\n\n```\nPOST /refunds 504\n```')
  await page.getByLabel('Labels').fill('qa, payments')
  await page.getByLabel('Priority').selectOption('urgent')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByText('One thing to fix before saving').waitFor()
  await inspect(page, 'ticket-new')
  await page.getByLabel('Title').fill('Refunds over 10,000 EUR time out')
  await page.getByLabel('Assigned to').selectOption({ index: 1 })
  await page.getByRole('button', { name: 'Save' }).click()
  await heading('#1 Refunds over 10,000 EUR time out').waitFor()

  step('it moves by its buttons')
  await page.getByRole('button', { name: 'Start' }).click()
  await page.getByRole('button', { name: 'Back to the queue' }).click()
  await page.getByRole('button', { name: 'Start' }).waitFor()
  await page.getByRole('link', { name: 'Edit' }).click()
  await page.getByLabel('Priority').selectOption('high')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByText('Priority changed by').waitFor()

  step('a session takes it from the queue, and reports')
  await page.goto('/automations/new')
  await page.getByLabel('Name', { exact: true }).fill('QA by script')
  await page.getByLabel('Provider', { exact: true }).selectOption('shell')
  await page.getByLabel('Prompt', { exact: true }).fill(
    process.env.CALL_TOOL +
      `call claim_next_ticket '{}' | grep -q '"number":1'
call create_ticket '{"title":"Refunds log no reason","priority":"low"}' >/dev/null
call report_result '{"outcome":"blocked","summary":"The **sandbox** was away."}' >/dev/null
call send_inbox_message '{"title":"The sandbox is away","body":"Since noon."}' >/dev/null`,
  )
  await page.getByRole('button', { name: 'Save' }).click()
  await heading('QA by script').waitFor()
  await page.getByRole('button', { name: 'Run now' }).click()
  await page.getByText('Succeeded').first().waitFor()
  const session = await until('the link to the session', async () =>
    new URL(page.url()).pathname.startsWith('/sessions/')
      ? page.url()
      : page.getByRole('link', { name: 'Open session' }).getAttribute('href'),
  )
  await page.goto(session)
  await page.getByRole('heading', { name: 'Tickets created' }).waitFor()
  await page.getByText('Blocked', { exact: true }).waitFor()
  await inspect(page, 'session-tickets')
  await page.getByRole('link', { name: '#1 Refunds over 10,000 EUR time out' }).click()
  await page.getByText('Taken from the queue by').waitFor()
  await page.getByRole('link', { name: 'QA by script' }).waitFor()
  await inspect(page, 'ticket')
  await page.goto('/inbox')
  await page.getByText('The sandbox is away').first().waitFor()

  step('the list is narrowed by its address')
  await page.goto('/tickets')
  assert.equal(await page.getByRole('row').count(), 3)
  await inspect(page, 'tickets')
  await page.getByLabel('Status').selectOption('in_progress')
  await until('the address to say so', async () => new URL(page.url()).searchParams.get('status') === 'in_progress')
  await page.getByRole('row', { name: /Refunds over/ }).waitFor()
  assert.equal(await page.getByRole('row').count(), 2)

  step('a new automation begins with a pattern')
  await page.goto('/automations/new')
  await inspect(page, 'automation-templates')
  await page.getByRole('link', { name: /Nightly dependency audit/ }).click()
  await until(
    'the name to be filled in',
    async () => (await page.getByLabel('Name', { exact: true }).inputValue()) === 'Nightly dependency audit',
  )
  assert.equal(await page.getByLabel('Cron expression').inputValue(), '0 2 * * *')
  assert.match(
    await page.getByLabel('Prompt', { exact: true }).inputValue(),
    /^Run a dependency audit and create tickets for any high-severity findings/,
  )
  await page.getByText('Every day at 02:00').waitFor()
  await page.getByRole('button', { name: 'Save' }).click()
  await heading('Nightly dependency audit').waitFor()
})
