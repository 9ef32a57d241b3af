/*
 * libcurl.h - libcurl, loaded when it is first used
 *
 * It brings some thirty libraries along, and linking them costs every start of stoker more than all the rest: 4 ms of
 * the 7 that `stoker status` takes then. So it is opened by name, by those few that speak HTTP.
 *
 *   const struct libcurl *curl = libcurl_load(&err);
 *   curl->easy_setopt(easy, CURLOPT_POST, 1L);         // no check of types here: a number is a long
 *
 * Errors: ERR_NOT_FOUND, which names the package.
 */
#ifndef SCHEDULER_LIBCURL_H
#define SCHEDULER_LIBCURL_H

#include <curl/curl.h>

#include "common/err.h"

struct libcurl {
	CURLcode (*global_init)(long flags);
	CURL *(*easy_init)(void);
	void (*easy_cleanup)(CURL *easy);
	CURLcode (*easy_perform)(CURL *easy);
	void (*easy_reset)(CURL *easy);
	CURLcode (*easy_setopt)(CURL *easy, CURLoption option, ...);
	CURLcode (*easy_getinfo)(CURL *easy, CURLINFO info, ...);
	const char *(*easy_strerror)(CURLcode code);
	CURLM *(*multi_init)(void);
	CURLMcode (*multi_cleanup)(CURLM *multi);
	CURLMcode (*multi_setopt)(CURLM *multi, CURLMoption option, ...);
	CURLMcode (*multi_add_handle)(CURLM *multi, CURL *easy);
	CURLMcode (*multi_remove_handle)(CURLM *multi, CURL *easy);
	CURLMcode (*multi_socket_action)(CURLM *multi, curl_socket_t socket, int events, int *running);
	CURLMcode (*multi_assign)(CURLM *multi, curl_socket_t socket, void *context);
	CURLMsg *(*multi_info_read)(CURLM *multi, int *left);
	struct curl_slist *(*slist_append)(struct curl_slist *list, const char *text);
	void (*slist_free_all)(struct curl_slist *list);
	const curl_version_info_data *(*version_info)(CURLversion age);
};

/* The library, ready to be used; NULL with an error. By the loop's thread only. It stays until the process ends. */
const struct libcurl *libcurl_load(struct err *err);

#endif
