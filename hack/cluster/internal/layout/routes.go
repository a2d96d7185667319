package layout

import (
	"encoding/binary"
	"iter"
	"math/bits"
	"net/netip"
	"strings"
)

// lines yields the lines of a kernel table after its heading.
func lines(table string) iter.Seq[string] {
	return func(yield func(string) bool) {
		heading := true
		for line := range strings.Lines(table) {
			if !heading && !yield(strings.TrimSpace(line)) {
				return
			}
			heading = false
		}
	}
}

// prefixOf makes a prefix of two words in the byte order in which the kernel prints them.
func prefixOf(dest, mask uint32) netip.Prefix {
	var b [4]byte
	binary.LittleEndian.PutUint32(b[:], dest)
	return netip.PrefixFrom(netip.AddrFrom4(b), bits.OnesCount32(mask))
}
