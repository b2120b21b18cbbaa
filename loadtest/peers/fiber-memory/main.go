// Command fiber-memory counts clicks per minute and banner in the memory of one process, behind fasthttp. Nothing
// survives its end: it is the ceiling of what a plain Go service reaches, not a peer in what it promises.
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/gofiber/fiber/v2"
)

// counters holds clicks by minute (since the epoch) and banner.
type counters struct {
	mu      sync.Mutex
	minutes map[int64]map[int64]int64
}

func (c *counters) add(minute, banner int64) {
	c.mu.Lock()
	banners := c.minutes[minute]
	if banners == nil {
		banners = make(map[int64]int64)
		c.minutes[minute] = banners
	}
	banners[banner]++
	c.mu.Unlock()
}

func (c *counters) total(banner int64) (sum int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, banners := range c.minutes {
		sum += banners[banner]
	}
	return sum
}

func bannerID(c *fiber.Ctx) (int64, error) {
	id, err := strconv.ParseInt(c.Params("bannerId"), 10, 64)
	if err != nil || id < 1 {
		return 0, fiber.NewError(fiber.StatusBadRequest, "bannerId is not a positive integer")
	}
	return id, nil
}

func main() {
	port := flag.Int("port", 8081, "port on the loopback interface")
	flag.Parse()
	counts := &counters{minutes: make(map[int64]map[int64]int64)}
	app := fiber.New(fiber.Config{DisableStartupMessage: true, ReadTimeout: 30 * time.Second})
	app.Post("/stats/:bannerId", func(c *fiber.Ctx) error {
		banner, err := bannerID(c)
		if err != nil {
			return err
		}
		counts.add(time.Now().Unix()/60, banner)
		c.Status(fiber.StatusNoContent)
		return nil
	})
	app.Get("/stats/:bannerId", func(c *fiber.Ctx) error {
		banner, err := bannerID(c)
		if err != nil {
			return err
		}
		return c.JSON(fiber.Map{"bannerId": banner, "total": counts.total(banner)})
	})
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	go func() {
		<-ctx.Done()
		_ = app.ShutdownWithTimeout(time.Second)
	}()
	if err := app.Listen(net.JoinHostPort("127.0.0.1", strconv.Itoa(*port))); err != nil {
		log.Fatal(err)
	}
}
