package agent

import (
	"bytes"
	"io"
	"sync"
	"time"
	"unicode/utf8"

	"carillon/app/transcript"
)

const (
	pieceSize  = 16 << 10               // approximate bound of an event's text
	pieceDelay = 50 * time.Millisecond  // how long complete lines wait for more
	lineDelay  = 500 * time.Millisecond // how long a line without its end waits
	maxTurns   = 32                     // changes between the streams in one piece
)

// pieces makes events from a child's two output streams. It joins small writes and splits long lines. It keeps the
// order between the streams as far as two pipes allow.
type pieces struct {
	emit func(transcript.Event)

	mu    sync.Mutex
	rest  map[string][]byte // bytes of each stream that wait for the end of their line
	ready []piece           // complete lines
	size  int
	timer *time.Timer
	slow  map[string]*time.Timer
	runs  map[string]bool // whether the timer slow runs: a part of a line, as of a progress bar, does not restart it
	done  bool
}

type piece struct {
	stream string
	text   []byte
}

func newPieces(emit func(transcript.Event)) *pieces {
	p := &pieces{emit: emit, rest: map[string][]byte{}, slow: map[string]*time.Timer{}, runs: map[string]bool{}}
	p.timer = time.AfterFunc(time.Hour, func() { p.locked(p.flush) })
	p.timer.Stop()
	for _, stream := range []string{"stdout", "stderr"} {
		p.slow[stream] = time.AfterFunc(time.Hour, func() {
			p.locked(func() { p.runs[stream] = false; p.release(stream); p.flush() })
		})
		p.slow[stream].Stop()
	}
	return p
}

func (p *pieces) locked(do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.done {
		do()
	}
}

// read reads a stream to its end and passes all bytes to see.
func (p *pieces) read(stream string, from io.Reader, see func([]byte)) {
	buf := make([]byte, pieceSize)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			see(buf[:n])
			p.locked(func() { p.add(stream, buf[:n]) })
		}
		if err != nil {
			return
		}
	}
}

// end emits the rest. No event comes after it.
func (p *pieces) end() {
	p.locked(func() {
		for stream, rest := range p.rest {
			p.push(stream, rest)
		}
		p.flush()
		p.done = true
		p.timer.Stop()
		for _, t := range p.slow {
			t.Stop()
		}
	})
}

func (p *pieces) add(stream string, data []byte) {
	waiting := append(p.rest[stream], data...)
	cut := bytes.LastIndexByte(waiting, '\n') + 1
	if len(waiting)-cut >= pieceSize {
		cut = completeRunes(waiting)
	}
	p.push(stream, waiting[:cut])
	p.rest[stream] = append([]byte(nil), waiting[cut:]...)
	switch {
	case len(waiting) == cut:
		p.slow[stream].Stop()
		p.runs[stream] = false
	case cut > 0 || !p.runs[stream]: // a line begins
		p.slow[stream].Reset(lineDelay)
		p.runs[stream] = true
	}
	switch {
	case p.size >= pieceSize:
		p.flush()
	case p.size > 0 && p.size == cut:
		p.timer.Reset(pieceDelay)
	}
}

// release emits an unfinished line.
func (p *pieces) release(stream string) {
	rest := p.rest[stream]
	cut := completeRunes(rest)
	p.push(stream, rest[:cut])
	p.rest[stream] = rest[cut:]
}

func (p *pieces) push(stream string, text []byte) {
	if len(text) == 0 {
		return
	}
	p.size += len(text)
	if n := len(p.ready); n > 0 {
		at := n - 1
		if p.ready[at].stream != stream && n >= maxTurns {
			at-- // the last two are of different streams
		}
		if p.ready[at].stream == stream {
			p.ready[at].text = append(p.ready[at].text, text...)
			return
		}
	}
	p.ready = append(p.ready, piece{stream, bytes.Clone(text)})
}

func (p *pieces) flush() {
	p.timer.Stop()
	for _, e := range p.ready {
		p.emit(transcript.Event{Kind: transcript.KindOutput, Stream: e.stream, Text: string(e.text)})
	}
	p.ready, p.size = nil, 0
}

// completeRunes is the length of b without an incomplete rune at its end.
func completeRunes(b []byte) int {
	for i := 1; i <= min(utf8.UTFMax-1, len(b)); i++ {
		if c := b[len(b)-i]; utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(b[len(b)-i:]) {
				return len(b) - i
			}
			break
		}
	}
	return len(b)
}

// tail keeps the last bytes written to it.
type tail struct {
	limit int
	mu    sync.Mutex
	kept  []byte
}

func (t *tail) add(b []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, b...)
	if len(t.kept) > 2*t.limit {
		t.kept = append([]byte(nil), t.kept[len(t.kept)-t.limit:]...)
	}
}

// String is what was kept, from the start of a line where it was cut.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	kept := t.kept
	if len(kept) > t.limit {
		kept = kept[len(kept)-t.limit:]
		if at := bytes.IndexByte(kept, '\n'); at >= 0 && at < len(kept)-1 {
			kept = kept[at+1:]
		}
	}
	return string(kept)
}
