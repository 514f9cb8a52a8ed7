//go:build !linux

package main

// trimSoon does nothing here.
func trimSoon() {}
