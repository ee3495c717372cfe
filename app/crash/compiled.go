//go:build crashpoints

package crash

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Compiled says whether this build has crash points.
const Compiled = true

// armed is what the file said when it was last read, and how often the point in it was reached since.
var armed struct {
	sync.Mutex
	text    string
	reached int
}

// Here kills the process if it is to end at a point.
func Here(p Point) {
	path, set := os.LookupEnv(Variable)
	if !set {
		return
	}
	armed.Lock()
	defer armed.Unlock()
	text, err := os.ReadFile(path)
	if err != nil { // nobody is to end
		armed.text, armed.reached = "", 0
		return
	}
	if string(text) != armed.text {
		armed.text, armed.reached = string(text), 0
	}
	fields := strings.Fields(armed.text)
	if len(fields) < 2 || fields[0] != string(p) {
		return
	}
	times, err := strconv.Atoi(fields[1])
	if armed.reached++; err != nil || armed.reached < times {
		return
	}
	// Of several processes with the same file one dies: who renames it.
	if os.Rename(path, path+Hit) != nil {
		return
	}
	_ = os.WriteFile(path+Hit, []byte(strconv.Itoa(os.Getpid())), 0o600) // without it nobody learns who
	fmt.Fprintf(os.Stderr, `{"level":"INFO","msg":"crash","point":%q}`+"\n", string(p))
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal comes at any moment
}

// Every is how often something is done that is done rarely: far more often where the process may be told to end, so
// that nobody waits for it.
func Every(d time.Duration) time.Duration {
	if _, set := os.LookupEnv(Variable); set {
		return min(d, often)
	}
	return d
}

const often = 2 * time.Second
