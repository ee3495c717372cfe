// An agent added by its command: tried, chosen with a model that it lists, and talked to.
import assert from 'node:assert/strict'
import { inspect, scenario, signIn, until } from './browser.mjs'

await scenario(async ({ open, step }) => {
  const page = await open()
  const heading = name => page.getByRole('heading', { level: 1, name, exact: true })

  step('the providers, with what is missing')
  await page.goto('/settings/providers')
  await signIn(page)
  await heading('Providers').waitFor()
  await page.getByText('npm install -g @openai/codex').waitFor()
  await inspect(page, 'providers')

  step('an agent with a mistake keeps what was typed')
  await page.getByRole('link', { name: 'Add agent' }).click()
  await page.getByLabel('Command').fill(`${process.env.AGENT} "nowhere`)
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByText('2 things to fix before saving').waitFor()
  await page.getByLabel('Name', { exact: true }).fill('Our agent')
  await page.getByLabel('Command').fill(process.env.AGENT)
  await page.getByRole('button', { name: 'Save' }).click()

  step('its test runs by itself and shows the answer')
  const card = page.getByRole('region', { name: 'Our agent' })
  await card.getByRole('button', { name: 'Test' }).click()
  await card.getByText('The test succeeded').waitFor()
  await card.getByText('I know you: no.').waitFor()
  await until('its models', async () => {
    await page.reload()
    return (await card.innerText()).includes('large')
  })
  await inspect(page, 'providers-own')

  step('a bot that holds to an agent hides the choice of one')
  await page.goto('/bots/new')
  await page.getByLabel('Name', { exact: true }).fill('Critic')
  await page.getByLabel('Instructions').fill('Be terse.')
  await page.getByLabel('Provider', { exact: true }).selectOption('our-agent')
  await page.getByRole('switch', { name: 'Lock this agent' }).check()
  await page.getByRole('button', { name: 'Save' }).click()
  await heading('Critic').waitFor()
  await page.goto('/automations/new')
  await page.getByRole('radio', { name: 'Bot', exact: true }).check()
  await page.getByLabel('Provider', { exact: true }).waitFor()
  await page.getByRole('combobox', { name: 'Bot', exact: true }).selectOption('Critic')
  await page.getByText('This bot sets the provider and the model.').waitFor()
  assert.equal(await page.getByLabel('Provider', { exact: true }).isVisible(), false)
  await page.getByRole('radio', { name: 'Chat', exact: true }).check()
  await page.getByLabel('Provider', { exact: true }).waitFor()

  step('a model that it does not list can be typed')
  await page.goto('/automations/new')
  await page.getByLabel('Name', { exact: true }).fill('Talk')
  await page.getByRole('radio', { name: 'Chat', exact: true }).check()
  await page.getByLabel('Provider', { exact: true }).selectOption('our-agent')
  // the field comes anew, with its models
  await page.locator('#model-list option[value=large]').waitFor({ state: 'attached' })
  await page.getByLabel('Prompt', { exact: true }).fill('Hello')
  await page.getByLabel('Model', { exact: true }).fill('gamma')
  const auto = page.getByRole('switch', { name: 'Auto-Complete Session' })
  if (await auto.isChecked()) await auto.uncheck()
  await page.getByRole('button', { name: 'Save' }).click()
  await heading('Talk').waitFor()
  await page.getByRole('link', { name: 'Edit' }).click()
  await until(
    'the typed model to be kept',
    async () => (await page.getByLabel('Model', { exact: true }).inputValue()) === 'gamma',
  )
  await page.getByLabel('Model', { exact: true }).fill('large')
  await page.getByRole('button', { name: 'Save' }).click()
  await heading('Talk').waitFor()

  step('the agent answers, and knows the conversation until the context is reset')
  await page.getByRole('button', { name: 'Run now' }).click()
  await until('the session to open', async () => new URL(page.url()).pathname.startsWith('/sessions/'))
  await page.getByText('I know you: no.').waitFor()
  await page.getByText('Look around').waitFor()
  const say = async text => {
    await page.getByLabel('Message').fill(text)
    await page.getByRole('button', { name: 'Send' }).click()
  }
  await page.getByRole('button', { name: 'Mark done' }).waitFor()
  await say('And now?')
  await page.getByText('I know you: yes.').waitFor()
  await page.getByRole('button', { name: 'Mark done' }).waitFor()
  await page.getByRole('button', { name: 'Reset Context' }).click()
  await page.getByText('The next turn begins a new conversation.').first().waitFor()
  await say('And now?')
  await until('the agent to have forgotten', async () => await page.getByText('I know you: no.').count() === 2)

  step('messages wait while it works, and an interrupt brings the next')
  await page.getByRole('button', { name: 'Mark done' }).waitFor()
  await say('wait for me')
  await page.getByRole('button', { name: 'Interrupt' }).waitFor()
  await say('something else')
  await page.getByText('Waits until the agent has finished').waitFor()
  await inspect(page, 'session-queued')
  await say('a slip')
  await page.getByRole('button', { name: 'Take back' }).last().click()
  await until(
    'one message to wait',
    async () => (await page.getByText('Waits until the agent has finished').count()) === 1,
  )
  await page.getByRole('button', { name: 'Interrupt' }).click()
  await until('the answer to the next message', async () => await page.getByText('I know you: yes.').count() === 2)

  step('the raw events are a download')
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('link', { name: 'Download the raw events' }).click(),
  ])
  assert.match(download.suggestedFilename(), /^session-.*\.ndjson$/)
})
