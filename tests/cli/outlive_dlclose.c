// outlive_dlclose.c -- a thread reads through a library loaded at run time, and ends
// after the library has been unloaded.
//
//     outlive_dlclose LIBRARY

#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#include "lsmkv.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);              \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static void *library;
static sem_t has_read, is_unloaded;

// The function `name` of the library, to be assigned to a pointer of its type.
static void *function(const char *name)
{
    void *address = dlsym(library, name);

    CHECK(address != NULL);
    return address;
}

#define FUNCTION(name) __typeof__(&name) name##_ = function(#name)

static void write_and_read(void)
{
    FUNCTION(lsm_options_new);
    FUNCTION(lsm_options_set);
    FUNCTION(lsm_options_free);
    FUNCTION(lsm_open);
    FUNCTION(lsm_put);
    FUNCTION(lsm_get);
    FUNCTION(lsm_buf_free);
    FUNCTION(lsm_close);
    const lsm_slice key = {.data = "key", .size = 3};
    lsm_buf value = LSM_BUF_INIT;
    lsm_options *options = NULL;
    lsm_db *db = NULL;

    CHECK(lsm_options_new_(&options) == LSM_OK);
    CHECK(lsm_options_set_(options, "in_memory", "true") == LSM_OK);
    CHECK(lsm_open_("nowhere", options, &db) == LSM_OK);
    CHECK(lsm_put_(db, NULL, key, key, NULL) == LSM_OK);
    CHECK(lsm_get_(db, NULL, key, &value) == LSM_OK);
    CHECK(value.size == key.size);
    lsm_buf_free_(&value);
    CHECK(lsm_close_(db) == LSM_OK);
    lsm_options_free_(options);
}

static void *run(void *unused)
{
    write_and_read();
    CHECK(sem_post(&has_read) == 0);
    CHECK(sem_wait(&is_unloaded) == 0);
    return unused;
}

int main(int argc, char **argv)
{
    pthread_t thread;

    CHECK(argc == 2);
    library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    CHECK(library != NULL);
    CHECK(sem_init(&has_read, 0, 0) == 0 && sem_init(&is_unloaded, 0, 0) == 0);
    CHECK(pthread_create(&thread, NULL, run, NULL) == 0);
    CHECK(sem_wait(&has_read) == 0);
    CHECK(dlclose(library) == 0);
    CHECK(sem_post(&is_unloaded) == 0);
    CHECK(pthread_join(thread, NULL) == 0); // its destructors have run
    puts("a thread has ended after dlclose()");
    return 0;
}
