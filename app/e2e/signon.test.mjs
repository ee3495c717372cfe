// Signing in by single sign-on: from a page that was asked for, through the provider's pages, and back to it.
import assert from 'node:assert/strict'
import { base, inspect, scenario } from './browser.mjs'

await scenario(async ({ open, step }) => {
  const page = await open({})
  step('a page that was asked for leads to the sign-in')
  await page.goto('/executions?status=failed')
  await page.getByRole('heading', { level: 1, name: 'Sign in' }).waitFor()
  await inspect(page, 'sign-on')

  step('the button leads to the provider')
  await page.getByRole('link', { name: 'Sign in with Acme' }).click()
  await page.getByRole('heading', { level: 1, name: 'Provider' }).waitFor()
  assert.notEqual(new URL(page.url()).origin, new URL(base).origin)

  step('the provider leads back to the page')
  await page.getByRole('button', { name: 'Go on' }).click()
  await page.getByRole('heading', { level: 1, name: 'History' }).waitFor()
  assert.equal(page.url(), `${base}/executions?status=failed`)

  step('going back and forward replays nothing')
  await page.goBack()
  await page.getByRole('heading', { level: 1, name: 'Provider' }).waitFor()
  await page.goto('/login/sso/callback?code=x&state=y')
  await page.getByText('This sign-in was not started in this browser').waitFor()

  step('the profile tells of the account, and has no password to change')
  await page.goto('/settings/profile')
  await page.getByRole('heading', { name: 'Single sign-on' }).waitFor()
  await page.getByText('You sign in without a password here.').waitFor()
  await inspect(page, 'profile-sign-on')

  step('signing out is local')
  await page.getByRole('navigation', { name: 'Main' }).locator('summary').last().click()
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByRole('heading', { level: 1, name: 'Sign in' }).waitFor()
  assert.equal(new URL(page.url()).origin, new URL(base).origin)
})
