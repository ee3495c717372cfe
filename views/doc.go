// Package views turns structs into pages. It knows how things look and what they are called on
// screen; it asks nothing: no query, no permission, no clock. Whoever renders a page says what the
// time is, what may be done, and hands over texts, times in the reader's zone, and ids.
package views
