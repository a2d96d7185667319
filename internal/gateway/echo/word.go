// Package echo finds the key that was put on a request in the answer to it, and cuts the answer before the key reaches a sandbox.
//
// It is a net against accidents and mirrors (a provider that repeats headers in an error, a debugging endpoint), not against a provider that
// wants to hand the key on: that one knows the key, and could write it in ways without end.
package echo

import (
	"encoding/base64"
	"encoding/hex"
)

// word is a text that gives the key away: for each place, the two bytes that may stand there (mostly the same one).
//
// Each byte may be written as itself, percent-encoded (%2F, %2f) or escaped as in JSON (\u002F, \/), byte by byte, as whatever wrote it liked. So
// that there is one way only to read a text, escapes are left out of the words of keys that contain "%" or a backslash themselves; such keys
// have one word for each way of writing.
type word struct {
	places        [][2]byte
	percent, json bool
}

// words are the texts that give a key away.
func words(key string) []word {
	list := spelled(key)
	for shift := range 3 {
		list = append(list, word{places: base64Places(key, shift), percent: true, json: true})
	}
	hexadecimal := word{percent: true, json: true}
	for _, c := range []byte(hex.EncodeToString([]byte(key))) {
		hexadecimal.places = append(hexadecimal.places, [2]byte{c, upper(c)})
	}
	return append(list, hexadecimal)
}

// spelled are the words of the key itself.
func spelled(key string) []word {
	ambiguous := false
	var places [][2]byte
	for _, c := range []byte(key) {
		ambiguous = ambiguous || c == '%' || c == '\\'
		places = append(places, [2]byte{c, c})
	}
	if !ambiguous {
		return []word{{places: places, percent: true, json: true}}
	}
	return []word{{places: places}, {places: places, percent: true}, {places: places, json: true}}
}

// base64Places is the part of a base64 text, in both alphabets (RFC 4648), that the key alone determines when it stands shift bytes after the
// border of a group of three: the characters around it share bits with whatever surrounds the key, or pad it.
func base64Places(key string, shift int) [][2]byte {
	encoded := base64.RawStdEncoding.EncodeToString(append(make([]byte, shift), key...))
	var places [][2]byte
	for _, c := range []byte(encoded[(shift*8+5)/6 : (shift+len(key))*8/6]) {
		other := c
		switch c {
		case '+':
			other = '-'
		case '/':
			other = '_'
		}
		places = append(places, [2]byte{c, other})
	}
	return places
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}

// match is what came of holding a word to a text.
type match int

const (
	no match = iota
	// begins means that the text ended before the word did.
	begins
	whole
)

// at holds the word to the beginning of a text.
func (w word) at(text []byte) match {
	for _, place := range w.places {
		if len(text) == 0 {
			return begins
		}
		n, m := w.step(place, text)
		if m != whole {
			return m
		}
		text = text[n:]
	}
	return whole
}

// step reads one place of the word from a text that is not empty, and says how many bytes it took.
func (w word) step(place [2]byte, text []byte) (int, match) {
	switch c := text[0]; {
	case c == '%' && w.percent:
		return escaped(place, text, "%")
	case c == '\\' && w.json:
		if len(text) > 1 && text[1] != 'u' {
			if (text[1] == place[0] || text[1] == place[1]) && isShort(text[1]) {
				return 2, whole
			}
			return 0, no
		}
		return escaped(place, text, `\u00`)
	case c == place[0] || c == place[1]:
		return 1, whole
	default:
		return 0, no
	}
}

// isShort is true for the characters that JSON escapes by a backslash alone, and that keys can have.
func isShort(c byte) bool { return c == '/' || c == '"' || c == '\\' }

const hexDigits = "0123456789abcdef"

// escaped reads a place that is written as an introduction and two hexadecimal digits.
func escaped(place [2]byte, text []byte, intro string) (int, match) {
	n := min(len(intro), len(text))
	if string(text[:n]) != intro[:n] {
		return 0, no
	}
	digits := text[n:min(len(intro)+2, len(text))]
	for _, c := range place {
		if same(digits, c) {
			if len(digits) < 2 {
				return 0, begins
			}
			return len(intro) + 2, whole
		}
	}
	return 0, no
}

// same compares up to two digits with those of a byte.
func same(digits []byte, c byte) bool {
	want := [2]byte{hexDigits[c>>4], hexDigits[c&15]}
	for i, d := range digits {
		if d != want[i] && d != upper(want[i]) {
			return false
		}
	}
	return true
}
