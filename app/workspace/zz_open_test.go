package workspace

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// These fail: what they show is open.

// 15: an agent's objects take the memory that they like of the server's machine.
func TestZZOpenACommitOfAGigabyteTakesNoMemory(t *testing.T) {
	s, remote := setup(t)
	s.User, s.Log = another(t), slog.New(slog.DiscardHandler)
	must(t, os.Chmod(filepath.Dir(filepath.Dir(s.Root)), 0o711))
	w := begin(t, s, remote, "one")
	out, err := as(t, s.User, w.Dir, `t=$(git rev-parse HEAD^{tree}); (printf 'tree %s\nparent %s\nauthor a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\n' $t $(git rev-parse HEAD); head -c 700000000 /dev/zero | tr '\0' 'a') > ../../x || true`)
	_ = out
	_ = err
	out, err = as(t, s.User, w.Dir, `python3 - <<'E'
import hashlib,zlib,subprocess,os
head=subprocess.check_output(['git','rev-parse','HEAD']).decode().strip()
tree=subprocess.check_output(['git','rev-parse','HEAD^{tree}']).decode().strip()
body=('tree %s\nparent %s\nauthor a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\n'%(tree,head)).encode()
n=600*1024*1024
h=hashlib.sha1(); z=zlib.compressobj(1); o=open('/tmp/zz-obj','wb')
def put(b):
    h.update(b); o.write(z.compress(b))
put(b'commit %d\0'%(len(body)+n)); put(body)
c=b'a'*(1<<20)
for _ in range(600): put(c)
o.write(z.flush()); o.close()
s=h.hexdigest()
d=subprocess.check_output(['git','rev-parse','--git-path','objects/'+s[:2]]).decode().strip()
os.replace('/tmp/zz-obj',d+'/'+s[2:]) if os.stat('/tmp').st_dev==os.stat(d).st_dev else subprocess.check_call(['mv','/tmp/zz-obj',d+'/'+s[2:]])
subprocess.check_call(['git','update-ref','HEAD',s])
E
ls -la ../../repos/w.git/objects | head -1`)
	t.Log(out, err)
	begun := time.Now()
	most := 0
	over := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(over)
		for ctx.Err() == nil {
			list, _ := filepath.Glob("/proc/[0-9]*/status")
			for _, p := range list {
				text, _ := os.ReadFile(p)
				if strings.HasPrefix(string(text), "Name:\tgit\n") {
					if _, rest, ok := strings.Cut(string(text), "VmHWM:"); ok {
						kb := 0
						fmt.Sscan(rest, &kb)
						most = max(most, kb)
					}
				}
			}
			time.Sleep(30 * time.Millisecond)
		}
	}()
	_, err = s.Changes(t.Context(), w)
	cancel()
	<-over
	t.Logf("%v, %s", err, time.Since(begun))
	if most > 500<<10 {
		t.Errorf("a Git of the server had %d MiB, which no bound of a run counts", most>>10)
	}
}

func TestZZOpenAFetchWritesObjectsInTheRepositoryAlone(t *testing.T) {
	s, remote := confinedStore(t, "")
	begin(t, s, remote, "one")
	advance(t, remote, "main", "more.txt")
	outside := meddle(t, s, "fetch", `cd $M/objects; for i in {0..9}{{0..9},{a..f}} {a..f}{{0..9},{a..f}}; do [ -e $i ] || ln -s $O $i; done`)
	t.Log(s.Sync(t.Context(), "w", remote))
	untouched(t, outside)
}
