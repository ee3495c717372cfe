// The whole way: from the first start to the history of a run that a person reviewed.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { admin, inspect, scenario, setUp, tabTo, until } from './browser.mjs'

const { GATES, REPOSITORY } = process.env
// A gate is a file for which the script waits, so that this test decides how far a run has come.
const gate = name => `until [ -e '${join(GATES, name)}' ]; do sleep 0.02; done`
const openGate = name => writeFileSync(join(GATES, name), '')

const script = `echo 'Looking around'
cat greeting.txt
${gate('one')}
printf '\\033[32mFound %s\\033[0m\\n' 'the greeting'
${gate('two')}
printf '%s\\nThis line stays.\\n' "{{greeting}}" > greeting.txt
echo 'Changed the greeting' >&2
${gate('three')}
echo 'All done'
`

await scenario(async ({ open, step }) => {
  const page = await open()
  const heading = name => page.getByRole('heading', { level: 1, name, exact: true })
  // What the script printed, in the transcript, which shows the script too.
  const printed = text =>
    page.getByRole('log', { name: 'Transcript' }).getByRole('group', { name: /utput/ }).getByText(text)
  const visit = async (address, name, shot) => {
    await page.goto(address)
    await heading(name).waitFor()
    await inspect(page, shot)
  }

  step('set up')
  await setUp(page)

  step('every page while there is nothing yet')
  await visit('/automations', 'Automations', 'automations-empty')
  await visit('/executions', 'History', 'history-empty')
  await visit('/sessions', 'Sessions', 'sessions-empty')
  await visit('/inbox', 'Inbox', 'inbox-empty')
  await visit('/workspaces', 'Workspaces', 'workspaces')

  step('a workspace with mistakes: said beside the fields, what was typed is kept')
  await page.getByRole('link', { name: 'New workspace' }).first().click()
  await heading('New workspace').waitFor()
  await page.getByLabel('Name', { exact: true }).fill('Greeter')
  await page.getByLabel('Git URL or path').fill(join(REPOSITORY, 'nowhere'))
  await page.getByRole('button', { name: 'Save' }).click()
  const url = page.getByLabel('Git URL or path')
  await until('the mistake', async () => await url.getAttribute('aria-invalid') === 'true')
  assert.equal(await page.getByLabel('Name', { exact: true }).inputValue(), 'Greeter')
  assert.equal(await url.inputValue(), join(REPOSITORY, 'nowhere'))
  await inspect(page, 'workspace-mistake')

  step('a workspace from a local clone')
  await url.fill(REPOSITORY)
  await page.getByRole('button', { name: 'Save' }).click()
  await heading('Greeter').waitFor()
  await inspect(page, 'workspace')

  step('an automation with mistakes: said beside the fields, what was typed is kept')
  await page.goto('/automations')
  await page.getByRole('link', { name: 'New automation' }).first().click()
  await heading('New automation').waitFor()
  await inspect(page, 'editor-empty')
  await page.getByLabel('Workspace', { exact: true }).selectOption({ label: 'Greeter' })
  await page.getByRole('radio', { name: 'Recurring' }).check()
  await page.getByLabel('Cron expression').fill('61 * * * *')
  await page.getByLabel('Provider').selectOption('shell')
  await page.getByLabel('Prompt').fill('echo "never closed')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByText('things to fix before saving').waitFor()
  const name = page.getByLabel('Name', { exact: true })
  for (const field of [name, page.getByLabel('Cron expression'), page.getByLabel('Prompt')]) {
    assert.equal(await field.getAttribute('aria-invalid'), 'true', `${field} is marked`)
    const error = page.locator('#' + (await field.getAttribute('aria-describedby')).split(' ')[0])
    assert.ok(await error.isVisible() && (await error.textContent()).trim(), `${field} has its error beside it`)
  }
  assert.equal(await page.getByLabel('Cron expression').inputValue(), '61 * * * *')
  assert.equal(await page.getByLabel('Prompt').inputValue(), 'echo "never closed')
  assert.equal(await page.getByLabel('Workspace', { exact: true }).locator('option:checked').textContent(), 'Greeter')
  assert.ok(await page.getByRole('radio', { name: 'Recurring' }).isChecked())
  await inspect(page, 'editor-mistakes')

  step('placeholders are listed while the prompt is typed')
  await page.getByRole('radio', { name: 'Manual' }).check()
  await name.fill('Change the greeting')
  await page.getByLabel('Prompt').fill(script)
  await page.locator('#placeholders').getByText('{{greeting}}').waitFor()

  step('a Develop automation by the Shell provider, completed only if no file changes')
  assert.ok(await page.getByRole('radio', { name: 'Develop' }).isChecked())
  assert.ok(await page.getByLabel('Auto-Complete Session').isChecked())
  await page.getByLabel('Complete only if no file changes').check()
  await inspect(page, 'editor')
  await page.getByRole('button', { name: 'Save' }).click()
  await heading('Change the greeting').waitFor()
  await inspect(page, 'automation')
  const address = page.url()
  await page.goto('/automations')
  await page.getByRole('link', { name: 'Change the greeting' }).waitFor()
  await inspect(page, 'automations')

  step('Run now by the keyboard alone: it asks for the placeholder')
  await page.goto(address)
  const run = page.getByRole('button', { name: 'Run now' })
  await tabTo(page, run)
  await page.keyboard.press('Enter')
  const dialog = page.getByRole('dialog')
  await dialog.waitFor()
  await inspect(page, 'run-now')
  const value = dialog.getByLabel('greeting')
  assert.ok(
    await value.evaluate(el => el.closest('dialog').contains(document.activeElement)),
    'the dialog has the focus',
  )
  await tabTo(page, value)
  await page.keyboard.type('Good evening; $(touch /nothing)')
  await tabTo(page, dialog.getByRole('button', { name: 'Run now' }))
  await page.keyboard.press('Enter')

  step('the run is in flight, so another cannot be started')
  await until(
    'the run',
    async () =>
      /\/sessions\/|\/executions\/|execution=/.test(page.url()) ||
      (await page.getByText('Running').or(page.getByText('Queued')).first().isVisible()),
  )
  await page.goto(address)
  assert.ok(await page.getByRole('button', { name: 'Run now' }).isDisabled())
  await page.getByRole('link', { name: 'Open session' }).click()
  await heading('Change the greeting').waitFor()

  step('the transcript shows what the script has printed before it went on')
  await printed('Looking around').waitFor()
  await printed('Hello, world.').waitFor()
  await page.getByText('In progress').first().waitFor()
  assert.equal(await printed('Found the greeting').count(), 0)
  await inspect(page, 'session-running')

  step('the transcript grows on the open page while the script runs')
  const loaded = await page.evaluate(() => performance.timeOrigin)
  openGate('one')
  await printed('Found the greeting').waitFor()
  await page.getByText('In progress').first().waitFor()
  assert.equal(await printed('All done').count(), 0)
  openGate('two')
  await printed('Changed the greeting').waitFor()
  assert.equal(await page.getByText('In progress').first().isVisible(), true, 'it has not ended')

  step('other pages show it at work')
  const other = await page.context().newPage()
  await other.goto('/')
  await other.getByText('Change the greeting').first().waitFor()
  await inspect(other, 'overview-running')
  await other.goto('/automations')
  await other.getByRole('link', { name: /View: Change the greeting/ }).waitFor()
  await inspect(other, 'automations-running')
  await other.close()

  step('it ends, and the page follows without being loaded again')
  openGate('three')
  await printed('All done').waitFor()
  const changes = page.getByRole('region', { name: 'Changed files' })
  await changes.getByText('greeting.txt').first().waitFor()
  await page.getByRole('button', { name: 'Mark done' }).waitFor()
  assert.equal(await page.evaluate(() => performance.timeOrigin), loaded, 'the page was not loaded again')

  step('the diff shows the change, and the placeholder came as text')
  await changes.getByRole('row', { name: /Good evening; \$\(touch \/nothing\)/ }).waitFor()
  assert.match(await changes.locator('.dl-add').textContent(), /Good evening/)
  assert.match(await changes.locator('.dl-del').textContent(), /Hello, world\./)
  assert.equal(await changes.locator('.dl-add, .dl-del').count(), 2, 'the other line was not touched')

  step('the session stays open for review')
  await page.getByText('Waiting').first().waitFor()
  await page.getByText('Succeeded').first().waitFor()
  await inspect(page, 'session-review')
  await page.reload()
  await printed('All done').waitFor()
  await printed('Changed the greeting').waitFor()
  assert.equal(await printed('Looking around').count(), 1, 'nothing is shown twice')

  step('Mark done')
  await page.getByRole('button', { name: 'Mark done' }).click()
  await page.getByRole('button', { name: 'Reopen' }).waitFor()
  assert.equal(await page.getByRole('button', { name: 'Mark done' }).count(), 0)
  await inspect(page, 'session-done')

  step('the history says that it was run by hand, and by whom')
  await page.goto('/executions')
  const row = page.getByRole('row', { name: /Change the greeting/ })
  await row.getByText(`Manual: ${admin.name}`).waitFor()
  await row.getByText('Succeeded').waitFor()
  await inspect(page, 'history')
  await row.getByRole('link', { name: 'Change the greeting', exact: true }).click()
  await heading('Run of Change the greeting').waitFor()
  await page.getByText('Good evening; $(touch /nothing)').first().waitFor()
  await inspect(page, 'execution')
  await page.goto(address)
  await page.getByText(`Manual: ${admin.name}`).first().waitFor()
  await inspect(page, 'automation-history')
  await page.goto('/sessions')
  await page.getByRole('row', { name: /Change the greeting/ }).getByText('Done').waitFor()
  await inspect(page, 'sessions')

  step('filters are in the address')
  await page.goto('/executions')
  await page.getByLabel('Status').selectOption({ label: 'Failed' })
  await page.waitForURL(/status=failed/)
  await page.getByText('Nothing matches').waitFor()
  await inspect(page, 'history-nothing')

  step('its settings, its editor, and deleting it')
  await page.goto(address + '/settings')
  await page.getByText('What starts it').waitFor()
  await inspect(page, 'automation-settings')
  await page.goto(address + '/edit')
  await heading('Edit automation').waitFor()
  assert.equal(await page.getByLabel('Prompt').inputValue(), script)
  await page.goto(address + '/settings')
  await page.getByRole('button', { name: 'Delete…' }).click()
  await page.getByRole('dialog').getByText('1 execution').waitFor()
  await inspect(page, 'delete')
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
  await heading('Automations').waitFor()
  assert.equal(await page.getByRole('link', { name: 'Change the greeting' }).count(), 0)
})
