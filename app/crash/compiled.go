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

// armed is the last content of the file, and how often its point was reached since.
var armed struct {
	sync.Mutex
	text    string
	reached int
}

// Here kills the process if the file names this point.
func Here(p Point) {
	path, set := os.LookupEnv(Variable)
	if !set {
		return
	}
	armed.Lock()
	defer armed.Unlock()
	text, err := os.ReadFile(path)
	if err != nil { // no process is to be killed
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
	// Of several processes with the same file, the one that renames it is killed.
	if os.Rename(path, path+Hit) != nil {
		return
	}
	_ = os.WriteFile(path+Hit, []byte(strconv.Itoa(os.Getpid())), 0o600) // it tells the test which process was killed
	fmt.Fprintf(os.Stderr, `{"level":"INFO","msg":"crash","point":%q}`+"\n", string(p))
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // waits for the signal
}

// Every gives the interval of a rare job: a short one in a process that may be killed, so that tests do not wait.
func Every(d time.Duration) time.Duration {
	if _, set := os.LookupEnv(Variable); set {
		return min(d, testInterval)
	}
	return d
}

const testInterval = 2 * time.Second
