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
	return fit(strings.TrimSpace(visible(text)), limit)
}

// OneLine is Clean with every run of white space as one space, for condition messages.
func OneLine(text string, limit int) string {
	return fit(spaced(visible(spaced(text))), limit) // again, since what was dropped may have stood between spaces
}

// spaced is text with every run of white space as one space.
func spaced(text string) string { return strings.Join(strings.Fields(text), " ") }

// fit cuts text to at most limit bytes.
func fit(text string, limit int) string {
	switch {
	case len(text) <= limit:
		return text
	case limit < len(ellipsis):
		return ""
	default:
		return truncate(text, limit-len(ellipsis))
	}
}

// visible is text as valid UTF-8 of printable characters.
func visible(text string) string {
	return strings.Map(printable, strings.ToValidUTF8(text, ""))
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
