package prompt

import (
	"crypto/sha256"
	"sync"
)

// What is remembered of scripts: lists show the placeholders of each row.
const (
	maxScripts     = 5000
	maxScriptNames = 100_000
)

// ScriptNames remembers which parameters scripts ask for, by what the scripts say: to find them a script is parsed,
// which takes a thousand times as long as its hash. It forgets all rather than grow without bound. Its zero value is
// ready.
type ScriptNames struct {
	mu     sync.Mutex
	known  map[[sha256.Size]byte][]string
	names  int // in all of known
	parsed int // scripts that were not known
}

// Of lists what a script asks for, as Names does. The list is not to be changed.
func (s *ScriptNames) Of(script string) []string {
	key := sha256.Sum256([]byte(script))
	s.mu.Lock()
	names, ok := s.known[key]
	s.mu.Unlock()
	if ok {
		return names
	}
	names = Names(script, true) // others need not wait for it
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parsed++
	if s.known == nil || len(s.known) >= maxScripts || s.names+len(names) > maxScriptNames {
		s.known, s.names = map[[sha256.Size]byte][]string{}, 0
	}
	if _, ok := s.known[key]; !ok {
		s.known[key] = names
		s.names += len(names)
	}
	return names
}
