// What the browser tests share: a browser, a scenario that fails on everything that goes wrong in a page, and looks at
// pages with axe and as pictures. Each *.test.mjs is one scenario, run by browser_test.go, which also says in the
// environment where the server is.
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const require = createRequire(import.meta.url)
const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..')

// patience bounds each wait for what has to happen, in milliseconds. It is long because a test must not fail on a slow
// or busy machine.
const patience = 600_000

export const base = process.env.BASE
export const admin = { name: 'Ada Lovelace', email: 'ada@example.com', password: 'correct horse battery' }

// --- The browser --------------------------------------------------------------------------------------------------

const installed = [
  'google-chrome-stable', 'google-chrome', 'chromium', 'chromium-browser',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome', '/Applications/Chromium.app/Contents/MacOS/Chromium',
]

// findBrowser returns what starts a browser: the one that CHROME names, one that is installed, or the one in the npm
// package, which is unpacked once into node_modules.
export async function findBrowser() {
  if (process.env.CHROME) {
    if (!existsSync(process.env.CHROME))
      throw new Error(
        `CHROME is ${JSON.stringify(process.env.CHROME)}, where there is no file. ` +
          'Set it to the path of Chrome or Chromium.',
      )
    return { executablePath: process.env.CHROME, env: {} }
  }
  for (const name of installed) {
    const paths = name.startsWith('/') ? [name] : (process.env.PATH || '').split(delimiter).map(dir => join(dir, name))
    const executablePath = paths.find(existsSync)
    if (executablePath) return { executablePath, env: {} }
  }
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error(
      'The browser tests need Chrome or Chromium, and there is none. Install one, or set CHROME to its path.',
    )
  }
  return unpacked()
}

async function unpacked() {
  const name = '@sparticuz/chromium'
  let bin
  try {
    bin = join(dirname(require.resolve(name)), '..', 'bin')
  } catch {
    throw new Error(
      `The browser tests need the npm package ${name}. Run npm ci, or set CHROME to the path of Chrome or Chromium.`,
    )
  }
  const dir = join(root, 'node_modules', '.browser')
  if (!existsSync(dir)) {
    // Unpacked beside and then renamed, so that what has its name is whole. The package unpacks into the temporary
    // folder.
    const fresh = `${dir}-${process.pid}`
    mkdirSync(fresh)
    const before = process.env.TMPDIR
    process.env.TMPDIR = fresh
    try {
      const { default: chromium, inflate } = await import(pathToFileURL(require.resolve(name)).href)
      await chromium.executablePath(bin)
      await inflate(join(bin, 'al2023.tar.br'))
      renameSync(fresh, dir)
    } catch (err) {
      rmSync(fresh, { recursive: true, force: true })
      if (!existsSync(dir)) throw err // another process was faster
    } finally {
      if (before === undefined) delete process.env.TMPDIR
      else process.env.TMPDIR = before
    }
  }
  const found = { executablePath: join(dir, 'chromium'), env: {} }
  if (!existsSync('/etc/fonts/fonts.conf')) found.env.FONTCONFIG_PATH = join(dir, 'fonts')
  const runs = env => spawnSync(found.executablePath, ['--version'], { env: { ...process.env, ...env } }).status === 0
  if (!runs(found.env)) { // a bare system lacks libraries that the package has
    found.env.LD_LIBRARY_PATH = [join(dir, 'al2023', 'lib'), process.env.LD_LIBRARY_PATH].filter(Boolean).join(':')
    if (!runs(found.env)) {
      const { stderr } = spawnSync(found.executablePath, ['--version'], { encoding: 'utf8' })
      throw new Error(
        `The browser of the npm package does not start here: ${stderr.trim()}\n` +
          'Install Chrome or Chromium, or set CHROME to its path.',
      )
    }
  }
  return found
}

// launch starts a browser.
export async function launch() {
  const { chromium } = await import('playwright-core')
  const { executablePath, env } = await findBrowser()
  return chromium.launch({
    executablePath, env: { ...process.env, ...env }, headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--font-render-hinting=none'],
  })
}

// --- Scenarios ------------------------------------------------------------------------------------------------------

// scenario runs one test in a browser of its own. test gets { open, step }: open(options) makes a page with cookies of
// its own, step(words) says what comes next, for whoever reads how far it came. The scenario fails when test throws,
// and when a page had an error, broke the content security policy, or was answered with a status of 500 and above.
export async function scenario(test) {
  const browser = await launch()
  const wrong = []
  const pages = []
  let now = 'the start'
  const step = words => {
    now = words
    console.log(`- ${words} (${(performance.now() / 1000).toFixed(1)} s)`)
  }
  const open = async options => {
    const context = await browser.newContext({
      baseURL: base,
      viewport: { width: 1280, height: 900 },
      reducedMotion: 'reduce',
      ...options,
    })
    context.setDefaultTimeout(patience)
    const page = await context.newPage()
    pages.push(page)
    page.on('pageerror', err => wrong.push(`error in ${page.url()} at “${now}”: ${err.stack || err}`))
    page.on('console', message => {
      // The browser itself notes each answer of 400 and above, which a form with mistakes has.
      if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
        wrong.push(`console of ${page.url()} at “${now}”: ${message.text()}`)
    })
    page.on('response', r => {
      if (r.status() >= 500) wrong.push(`${r.request().method()} ${r.url()} at “${now}”: answered ${r.status()}`)
    })
    return page
  }
  try {
    await test({ open, step })
    if (wrong.length) assert.fail('the pages had errors')
  } catch (err) {
    console.error(`\nAt “${now}”: ${err.stack || err}`)
    for (const w of wrong) console.error(w)
    for (const [i, page] of pages.entries()) await keep(page, `failed-${process.env.SCENARIO}-${i + 1}`)
    process.exitCode = 1
  } finally {
    await browser.close()
  }
}

// keep stores a picture of a page of a scenario that failed.
async function keep(page, name) {
  const dir = process.env.FAILED
  if (!dir || page.isClosed()) return
  mkdirSync(dir, { recursive: true })
  const path = join(dir, `${name}.png`)
  await page.screenshot({ path, caret: 'initial', fullPage: true }).then(
    () => console.error(`${page.url()} is shown in ${path}`),
    err => console.error(`no picture of ${page.url()}: ${err.message}`),
  )
}

// until waits for a condition, looking often.
export async function until(what, condition, within = patience) {
  const end = Date.now() + within
  for (;;) {
    const value = await condition()
    if (value) return value
    if (Date.now() > end) throw new Error(`waited ${within / 1000} s for ${what}`)
    await new Promise(done => setTimeout(done, 25))
  }
}

// --- What people do --------------------------------------------------------------------------------------------------

// setUp makes the first administrator by the link that the server printed.
export async function setUp(page, who = admin) {
  await page.goto(process.env.SETUP)
  await page.getByLabel('Name').fill(who.name)
  await page.getByLabel('Email').fill(who.email)
  await page.getByLabel('Password').fill(who.password)
  await page.getByRole('button', { name: 'Create administrator' }).click()
  await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor()
}

// signIn fills in the form of the page to sign in.
export async function signIn(page, who = admin) {
  await page.getByLabel('Email').fill(who.email)
  await page.getByLabel('Password').fill(who.password)
  await page.getByRole('button', { name: 'Sign in' }).click()
}

// signOut ends the sign-in.
export async function signOut(page, who = admin) {
  await page.getByRole('navigation', { name: 'Main' }).locator('summary', { hasText: who.name }).click()
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByRole('heading', { level: 1, name: 'Sign in' }).waitFor()
}

// tabTo presses Tab until the element has the focus, as someone without a pointer does.
export async function tabTo(page, locator, most = 80) {
  await locator.waitFor()
  for (let i = 0; i < most; i++) {
    if (await locator.evaluate(el => el === document.activeElement)) return
    await page.keyboard.press('Tab')
  }
  throw new Error(`${locator} cannot be reached with the Tab key`)
}

// --- Looks -----------------------------------------------------------------------------------------------------------

// axe finds what keeps people from using a page, by the rules of WCAG 2.2 A and AA and best practice. It fails with the
// elements.
export async function axe(page, what = '') {
  if (!axe.source) axe.source = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8')
  if (!await page.evaluate(() => 'axe' in window)) await page.evaluate(axe.source)
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }))
  const element = n => `    ${n.html}\n      ${n.failureSummary.replaceAll('\n', ' ')}`
  const list = violations.map(v => `${v.id}: ${v.help}\n${v.nodes.map(element).join('\n')}`)
  if (list.length) assert.fail(`axe finds on ${page.url()} ${what}:\n${list.join('\n')}`)
}

// screenshot keeps a picture in the folder SHOTS, if that is set. theme is "light" or "dark".
export async function screenshot(page, name, { theme, width } = {}) {
  await look(page, { theme, width })
  if (!process.env.SHOTS) return
  mkdirSync(process.env.SHOTS, { recursive: true })
  // Hiding the caret would need a style that the content security policy refuses.
  await page.screenshot({
    caret: 'initial',
    path: join(process.env.SHOTS, `${name}-${theme || 'light'}-${width || 1280}.png`),
    fullPage: true,
  })
}

async function look(page, { theme = 'light', width = 1280 } = {}) {
  await page.emulateMedia({ colorScheme: theme })
  await page.setViewportSize({ width, height: 900 })
  // Colours that are on their way to their new values are nobody's fault, and when they arrive, elements within may
  // set out; and what waits for an answer is paler until it comes. What spins has no end to wait for.
  await page.evaluate(async () => {
    for (let still = 0; still < 3; still++) {
      await new Promise(done => requestAnimationFrame(done))
      const passing = document.getAnimations().filter(a => a.effect.getComputedTiming().endTime < 1e6)
      if (passing.length || document.querySelector('.htmx-request')) still = -1
      await Promise.allSettled(passing.map(a => a.finished))
    }
  })
}

// fading lists the elements that are paler while they fetch themselves anew.
function fading(page) {
  return page.evaluate(() => [...document.querySelectorAll('[hx-trigger]')].filter(el => {
    if (el.classList.contains('htmx-request')) return false // is at it
    const before = getComputedStyle(el).opacity
    el.classList.add('htmx-request')
    const meanwhile = getComputedStyle(el).opacity
    el.classList.remove('htmx-request')
    return meanwhile !== before
  }).map(el => el.outerHTML.slice(0, 200)))
}

// inspect looks at a page in light and dark, wide and as on a phone: axe finds nothing, and nothing is wider than the
// screen.
export async function inspect(page, name) {
  for (const kind of [
    { theme: 'light', width: 1280 },
    { theme: 'dark', width: 1280 },
    { theme: 'light', width: 390 },
    { theme: 'dark', width: 390 },
  ]) {
    await screenshot(page, name, kind)
    await axe(page, `${kind.theme}, ${kind.width} px wide`)
    assert.deepEqual(await fading(page), [], `on ${page.url()} what fetches itself anew fades meanwhile`)
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
    assert.equal(wide, 0, `${page.url()} is ${wide} px wider than a screen of ${kind.width} px`)
  }
  await look(page)
}

// `node app/e2e/browser.mjs` prints the path of the browser and what its environment needs, as JSON.
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    const found = await findBrowser()
    execFileSync(found.executablePath, ['--version'], { env: { ...process.env, ...found.env }, stdio: 'ignore' })
    console.log(JSON.stringify(found))
  } catch (err) {
    console.error(err.message)
    process.exitCode = 1
  }
}
