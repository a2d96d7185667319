package gateway

import "sync"

// bufferSize is how much of an answer is read at once. Events of streams are smaller, and thousands of streams have a buffer each; httputil's own are eight
// times as large.
const bufferSize = 4 << 10

// buffers are those through which answers go. They hold what providers answered, which is not kept from whoever gets the next one: each is read
// only as far as it was written.
type buffers struct{ pool sync.Pool }

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte {
	if have, ok := b.pool.Get().(*[]byte); ok {
		return *have
	}
	return make([]byte, bufferSize)
}

// Put implements httputil.BufferPool.
func (b *buffers) Put(buffer []byte) { b.pool.Put(&buffer) }
