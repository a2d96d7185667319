package echo

import (
	"math/bits"
	"net/http"
	"slices"
)

// MinKey is the length in bytes of the shortest key that is looked for. Shorter ones, such as the "EMPTY" or "none" that services without keys
// are given, are found in ordinary answers, and are no secrets.
const MinKey = 8

// Detector finds one key in answers. It is safe for concurrent use, small (some kilobytes), and cheap to make.
type Detector struct {
	words []word
	// starts and seconds say which words can begin with a byte, or have it written in the second place, a bit each; members are the bytes of
	// which words consist.
	starts, seconds [256]uint8
	members         [256]bool
	// shortest is the length of the shortest form.
	shortest int
}

// New is a Detector of a key: as it is, in base64 (both alphabets, padded or not, wherever in an encoded text it stands), in hexadecimal, and each of
// these percent-encoded or with the escapes of JSON, in part or throughout. Of a key shorter than MinKey it finds nothing.
func New(key string) *Detector {
	d := &Detector{}
	if len(key) < MinKey {
		return d
	}
	d.words = words(key)
	d.shortest = len(d.words[0].places)
	for i, w := range d.words {
		d.shortest = min(d.shortest, len(w.places))
		d.learn(w, 1<<i)
	}
	return d
}

// learn takes the bytes of a word into the sets.
func (d *Detector) learn(w word, bit uint8) {
	for _, place := range w.places {
		d.members[place[0]], d.members[place[1]] = true, true
	}
	for _, c := range w.places[0] {
		d.starts[c] |= bit
	}
	for _, c := range w.places[1] {
		d.seconds[c] |= bit
	}
	if w.percent {
		d.starts['%'] |= bit
		d.seconds['%'] |= bit
		d.mark("%0123456789abcdefABCDEF")
	}
	if w.json {
		d.starts['\\'] |= bit
		d.seconds['\\'] |= bit
		d.mark(`\/"u0123456789abcdefABCDEF`)
	}
}

func (d *Detector) mark(members string) {
	for _, c := range []byte(members) {
		d.members[c] = true
	}
}

// Blind reports that the key is too short to be looked for.
func (d *Detector) Blind() bool { return len(d.words) == 0 }

// InHeader reports that a header, or a trailer, contains the key.
func (d *Detector) InHeader(h http.Header) bool {
	for name, values := range h {
		if d.in(name) || slices.ContainsFunc(values, d.in) {
			return true
		}
	}
	return false
}

func (d *Detector) in(text string) bool {
	_, m := d.find([]byte(text))
	return m == whole
}

// find looks for the first place where a text contains a word as a whole, or else the first at which one begins that the text may be too
// short for. Without either it returns the length of the text.
//
// A word lies in a run of members that is at least as long as the shortest word, or that touches the end of the text. Such runs are rare in
// what providers send, blanks and punctuation being no members of most keys. So the search looks at every shortest-th byte or so, and reads
// only those runs byte by byte.
func (d *Detector) find(text []byte) (int, match) {
	if d.Blind() {
		return len(text), no
	}
	begun := -1
	for from := 0; from < len(text); {
		start, end := d.run(text, from)
		for i := start; i < end; i++ {
			candidates := d.starts[text[i]]
			if candidates == 0 {
				continue
			}
			switch d.hold(text[i:], candidates) {
			case whole:
				return i, whole
			case begins:
				if begun < 0 {
					begun = i
				}
			case no:
			}
		}
		from = end + 1
	}
	if begun >= 0 {
		return begun, begins
	}
	return len(text), no
}

// run finds the next run of members that a word can lie in.
func (d *Detector) run(text []byte, from int) (start, end int) {
	for start = from; start+d.shortest <= len(text); {
		last := start + d.shortest - 1
		for last >= start && d.members[text[last]] {
			last--
		}
		if last < start {
			return start, d.runEnd(text, start+d.shortest)
		}
		start = last + 1
	}
	// What is left is too short for a word; only what touches the end can be the beginning of one.
	first := len(text)
	for first > start && d.members[text[first-1]] {
		first--
	}
	return first, len(text)
}

func (d *Detector) runEnd(text []byte, end int) int {
	for end < len(text) && d.members[text[end]] {
		end++
	}
	return end
}

// hold holds words, a bit each, to the beginning of a text.
func (d *Detector) hold(text []byte, candidates uint8) match {
	if len(text) > 1 && text[0] != '%' && text[0] != '\\' { // an escape has its second place farther on
		candidates &= d.seconds[text[1]]
	}
	best := no
	for ; candidates != 0; candidates &= candidates - 1 {
		best = max(best, d.words[bits.TrailingZeros8(candidates)].at(text))
	}
	return best
}
