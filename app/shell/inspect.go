package shell

import "mvdan.cc/sh/v3/syntax"

func (s *script) inspect(file *syntax.File) {}
