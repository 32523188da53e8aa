// SPDX-License-Identifier: Apache-2.0

// A Go program: its own resolver, its own TLS, no libc.
package main

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	c := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	r, err := c.Post("https://"+os.Args[1]+"/x", "text/plain", strings.NewReader(os.Args[2]))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(r.Status)
}
