package contract

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// ellipsis stands where text was cut.
const ellipsis = "…"

// truncate keeps at most size bytes of text, cut at a rune's border, and marks the cut.
func truncate(text string, size int) string {
	for size > 0 && !utf8.RuneStart(text[size]) {
		size--
	}
	return text[:size] + ellipsis
}

// Clean makes text from inside a sandbox fit for a status: valid UTF-8, without control characters but newline and tab, at
// most limit bytes.
func Clean(text string, limit int) string {
	text = strings.TrimSpace(strings.Map(printable, strings.ToValidUTF8(text, "")))
	if len(text) <= limit {
		return text
	}
	return truncate(text, max(0, limit-len(ellipsis)))
}

// printable drops control and format characters: the latter can reorder what a terminal shows.
func printable(r rune) rune {
	switch {
	case r == '\n', r == '\t':
		return r
	case unicode.IsControl(r), unicode.Is(unicode.Cf, r):
		return -1
	default:
		return r
	}
}

// OneLine is Clean with every run of white space as one space, for condition messages.
func OneLine(text string, limit int) string {
	return Clean(strings.Join(strings.Fields(text), " "), limit)
}
