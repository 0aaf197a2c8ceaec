; triple-fault: a fault while a double fault is delivered ends the machine; SDM volume 3, 6.15
; There is no verdict line: the machine is reported as crashed.
; expect: 126
%include "rt.inc"

section .text
bits 32
main:
	mov word [.none], 0
	mov dword [.none + 2], 0
	lidt [.none]
	ud2
	STR text, "still running"
	mov dword [rt_failed], 1
	mov dword [rt_first], text
	FINISH
section .data
main.none: dw 0
	dd 0
