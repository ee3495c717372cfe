// The common patterns of the specification, each from its template to its end: a nightly audit that makes tickets, a
// release branch whose pull request is merged, and a loop over the queue of which one iteration is discarded.
import assert from 'node:assert/strict'
import { inspect, scenario, signIn, until } from './browser.mjs'

const { AGENT, HUB, HUB_TOKEN, HUB_SECRET } = process.env

await scenario(async ({ open, step }) => {
  const page = await open()
  const heading = name => page.getByRole('heading', { level: 1, name, exact: true })
  const save = async name => {
    await page.getByRole('button', { name: 'Save' }).click()
    await heading(name).waitFor()
    return page.url()
  }
  const begin = async pattern => {
    await page.goto('/automations/new')
    await page.getByRole('link', { name: pattern }).click()
    await until('the template', async () => new URL(page.url()).searchParams.has('template'))
    assert.equal(
      await page.getByLabel('Provider', { exact: true }).locator('option:checked').textContent(),
      'Our agent',
    )
  }
  // The workflow of a template is made with what the template says, and saving it leads back.
  const makeWorkflow = async name => {
    await page.getByRole('link', { name: 'Create it' }).click()
    await heading('New workflow').waitFor()
    assert.equal(await page.getByLabel('Name', { exact: true }).inputValue(), name)
    await page.getByRole('button', { name: 'Save' }).click()
    await heading('New automation').waitFor()
    assert.equal(await page.getByLabel('Workflow', { exact: true }).locator('option:checked').textContent(), name)
    assert.equal(await page.getByRole('link', { name: 'Create it' }).count(), 0)
  }
  const runNow = async () => {
    await page.getByRole('button', { name: 'Run now' }).click()
    await page.waitForURL(/\/sessions\//)
  }

  step('an agent and a repository on a forge')
  await page.goto('/settings/providers')
  await signIn(page)
  await page.getByRole('link', { name: 'Add agent' }).click()
  await page.getByLabel('Name', { exact: true }).fill('Our agent')
  await page.getByLabel('Command').fill(AGENT)
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByRole('region', { name: 'Our agent' }).waitFor()
  await page.goto('/workspaces/new')
  await page.getByLabel('Name', { exact: true }).fill('App')
  await page.getByLabel('Git URL or path').fill(`${HUB}/acme/app.git`)
  await page.getByLabel('Access token').fill(HUB_TOKEN)
  await page.getByLabel('Forge', { exact: true }).selectOption('github')
  await page.getByLabel('Webhook secret').fill(HUB_SECRET)
  await page.getByLabel('Default provider').selectOption({ label: 'Our agent' })
  await page.getByRole('button', { name: 'Save' }).click()
  await heading('App').waitFor()
  const hook = await page.getByLabel('Webhook address', { exact: true }).inputValue()
  const end = async (pull, merged) => {
    const answer = await fetch(`${HUB}/ended/${pull}?${new URLSearchParams({ hook, merged })}`, { method: 'POST' })
    assert.equal(answer.status, 200, await answer.text())
  }

  step('nightly audit: its session makes a ticket for each finding')
  await begin(/Nightly dependency audit/)
  await page.getByLabel('Workspace', { exact: true }).selectOption({ label: 'App' })
  await save('Nightly dependency audit')
  await page.getByText('Every day at 02:00').first().waitFor()
  await runNow()
  await page.getByText('I made a ticket for each of the two findings.').first().waitFor()
  await page.getByText('Succeeded').first().waitFor()
  await page.getByText('Done').first().waitFor()
  await page.getByRole('heading', { name: 'Tickets created' }).waitFor()
  await inspect(page, 'pattern-audit')
  await page.getByRole('link', { name: '#1 undici 5.28.3: requests can be smuggled' }).click()
  await heading('#1 undici 5.28.3: requests can be smuggled').waitFor()
  await page.getByText('security').first().waitFor()
  await page.goto('/tickets')
  await page.getByRole('row', { name: /tar 6\.1\.0/ }).waitFor()

  step('the loop over the queue starts when it is saved, and takes the first ticket')
  await begin(/Continuous QA loop/)
  await makeWorkflow('Pick the next ticket from the queue and run QA checks')
  await page.getByLabel('Workspace', { exact: true }).selectOption({ label: 'App' })
  await page.getByRole('switch', { name: 'Create pull request' }).check()
  const loop = await save('Continuous QA loop')

  step('release branch: its workflow opens a pull request, which the session shows')
  await begin(/Release branch on Fridays/)
  await makeWorkflow('Create release branch, bump version, open PR')
  await page.getByLabel('Workspace', { exact: true }).selectOption({ label: 'App' })
  await page.getByRole('switch', { name: 'Create pull request' }).check()
  await save('Roll a release branch every Friday')
  await page.getByText('Fridays at 16:00').first().waitFor()
  await runNow()
  const steps = page.getByRole('region', { name: 'Steps of the workflow' })
  await until('three steps that succeeded', async () => await steps.getByText('Succeeded').count() === 3)
  const chip = page.locator('#session-head').getByRole('link', { name: /^#\d+$/ })
  await chip.waitFor()
  await page.getByText('Waiting').first().waitFor()
  await inspect(page, 'pattern-release')
  const pull = /#(\d+)/.exec(await chip.textContent())[1]
  assert.equal(await chip.getAttribute('href'), `${HUB}/acme/app/pull/${pull}`)

  const pulls = page.getByRole('region', { name: 'Pull requests' })
  await pulls.getByText('opened by Carillon').waitFor()

  step('its merge makes the session Done')
  await end(pull, 'yes')
  await pulls.getByText('merged').waitFor()
  await page.getByRole('button', { name: 'Reopen' }).waitFor()
  await page.getByText('Done').first().waitFor()

  step('the first iteration of the loop changed files and waits for a review of its pull request')
  await page.goto(loop)
  await page.getByText('Ticket 1 holds.').first().waitFor()
  await page.getByText('When its session is closed').waitFor()

  step('closing the pull request unmerged discards it with a notice, and the next iteration takes the next ticket')
  await end(pull === '1' ? '2' : '1', '')
  await page.goto('/inbox')
  await page.getByRole('link', { name: /Continuous QA loop: pull request #\d was closed without merging/ }).click()
  await page.getByText(`${HUB}/acme/app/pull/`).first().waitFor()
  await page.getByRole('link', { name: /session/i }).first().waitFor()

  step('the loop stops at the end of the queue')
  await page.goto(loop)
  await page.getByText('It is off since').waitFor()
  await inspect(page, 'pattern-loop-ended')
  const runs = page.getByRole('region', { name: 'Executions' }).getByRole('listitem')
  assert.equal(await runs.count(), 3)
  assert.deepEqual(await runs.evaluateAll(list => list.map(li => /iteration \d/.exec(li.textContent)[0])), [
    'iteration 3',
    'iteration 2',
    'iteration 1',
  ])
  await page.goto('/tickets')
  for (const title of [/undici/, /tar 6/])
    assert.match(await page.getByRole('row', { name: title }).textContent(), /Done/)
})
