/* Put before the system's resolver (LD_PRELOAD): no name is ever found, nor is it ever said that it is not. */
#include <unistd.h>

struct addrinfo;

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    (void)node, (void)service, (void)hints, (void)found;
    for (;;)
        pause();
}
