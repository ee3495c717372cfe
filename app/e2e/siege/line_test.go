package siege

import (
	"bytes"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"carillon/db/embedded"
)

// line is a connection between one process and a server that can be slow, silent or cut. A line that is silent loses
// nothing: what was under way arrives when it is mended, as by TCP.
type line struct {
	listener net.Listener

	mu     sync.Mutex
	mended *sync.Cond
	to     string        // the server: a socket's path, or an address
	silent bool          // nothing passes, and no end learns of the other's
	cut    bool          // connections are refused
	delay  time.Duration // of each piece
	mark   []byte        // the first piece to the server that holds it makes the line silent; nil: none does
	ends   map[net.Conn]bool
}

// newLine makes a line to a server.
func newLine(t testing.TB, to string) *line {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	l := &line{listener: listener, to: to, ends: map[net.Conn]bool{}}
	l.mended = sync.NewCond(&l.mu)
	go l.serve()
	t.Cleanup(func() {
		_ = listener.Close()
		l.change(func() { l.silent, l.delay = false, 0 })
		l.reset()
	})
	return l
}

// url is where Carillon reaches its database through the line.
func (l *line) url() string {
	u := url.URL{
		Scheme: "postgres", User: url.User(program), Host: l.listener.Addr().String(), Path: "/" + embedded.Name,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// change changes how the line is.
func (l *line) change(how func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	how()
	l.mended.Broadcast()
}

// reset ends all connections, at both ends.
func (l *line) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for end := range l.ends {
		if tcp, ok := end.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = end.Close()
	}
	clear(l.ends)
}

// isSilent reports whether the line is silent.
func (l *line) isSilent() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.silent
}

// pass waits until the line lets a piece through.
func (l *line) pass(piece []byte, toServer bool) {
	l.mu.Lock()
	if toServer && l.mark != nil && bytes.Contains(piece, l.mark) {
		l.silent, l.mark = true, nil
	}
	for l.silent {
		l.mended.Wait()
	}
	delay := l.delay
	l.mu.Unlock()
	time.Sleep(delay)
}

func (l *line) serve() {
	for {
		theirs, err := l.listener.Accept()
		if err != nil {
			return
		}
		go l.connect(theirs)
	}
}

func (l *line) connect(theirs net.Conn) {
	l.pass(nil, true)
	l.mu.Lock()
	to, cut := l.to, l.cut
	l.mu.Unlock()
	if cut {
		_ = theirs.(*net.TCPConn).SetLinger(0)
		_ = theirs.Close()
		return
	}
	network := "tcp"
	if filepath.IsAbs(to) {
		network = "unix"
	}
	ours, err := net.Dial(network, to)
	if err != nil {
		_ = theirs.Close()
		return
	}
	l.mu.Lock()
	l.ends[theirs], l.ends[ours] = true, true
	l.mu.Unlock()
	go l.pump(ours, theirs, true)
	go l.pump(theirs, ours, false)
}

func (l *line) pump(to, from net.Conn, toServer bool) {
	piece := make([]byte, 64<<10)
	for {
		n, err := from.Read(piece)
		if n > 0 {
			l.pass(piece[:n], toServer)
			if _, broken := to.Write(piece[:n]); err == nil {
				err = broken
			}
		}
		if err != nil {
			l.pass(nil, false)
			break
		}
	}
	l.mu.Lock()
	delete(l.ends, to)
	delete(l.ends, from)
	l.mu.Unlock()
	_, _ = to.Close(), from.Close()
}
