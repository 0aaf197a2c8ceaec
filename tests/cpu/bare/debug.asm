; debug: single-step, breakpoint registers, GD, RF, ICEBP; SDM volume 3, chapter 18.2, 18.3
%include "rt.inc"

%define B0 1
%define B1 2
%define B2 4
%define B3 8
%define BD 0x2000
%define BS 0x4000

section .bss
	alignb 16
	resb 64		; a frame pushed below mem goes here
mem:	resb 64
steps:	resd 1
last:	resd 1

section .text
bits 32
; DR7: one breakpoint: number, type (0 fetch, 1 write, 2 I/O, 3 read or write), length code
%define DR7(n, type, len) (0x400 | (2 << ((n) * 2)) | ((type) << (16 + (n) * 4)) | ((len) << (18 + (n) * 4)))
%macro SETDR 2
	mov eax, %2
	mov %1, eax
%endmacro
%macro CLEARDR 0
	xor eax, eax
	mov dr7, eax
	mov dr6, eax
%endmacro
%macro DR6IS 2
	mov eax, [x_dr6]
	and eax, 0xe00f
	EQ eax, %1, %2
	CLEARDR
%endmacro
main:
	; reset values and fixed bits
	CLEARDR
	mov eax, dr6
	EQ eax, 0xffff0ff0, "fixed bits of DR6"
	mov eax, dr7
	EQ eax, 0x400, "fixed bits of DR7"
	SETDR dr0, 0x12345678
	mov eax, dr0
	EQ eax, 0x12345678, "DR0 reads back"
	; DR4 and DR5 are DR6 and DR7, or #UD with CR4.DE
	RUNS "DR4 without DE", mov eax, dr4
	mov eax, cr4
	or eax, 8
	mov cr4, eax
	FAULTS "DR4 with DE", VEC_UD, 0, mov eax, dr4
	FAULTS "DR5 with DE", VEC_UD, 0, mov eax, dr5
	; instruction breakpoint: a fault, before the instruction
	SETDR dr0, .exec
	SETDR dr7, DR7(0, 0, 0)
	mov ecx, 5
	RT_ARM .exec_end
.exec:	inc ecx
.exec_end:
	WAS "instruction breakpoint", VEC_DB, 0, .exec
	EQ ecx, 5, "the instruction did not run"
	mov eax, [x_flags]
	and eax, F_RF
	; clear, unlike in the frames of other faults: SDM 19.3.1.1, APM volume 2, 3.1.6
	EQ eax, 0, "RF in the frame"
	DR6IS B0, "DR6.B0"
	; RF lets it through once
	SETDR dr0, .rf
	SETDR dr7, DR7(0, 0, 0)
	RT_ARM .rf_end
	push dword F_RF | 2
	push dword SEL_CODE
	push dword .rf
	iret
.rf:	inc ecx
.rf_end: WAS "RF holds the breakpoint back", -1, -1, -1
	EQ ecx, 6, "the instruction ran"
	CLEARDR
	; popf does not set RF
	pushf
	or dword [esp], F_RF
	popf
	pushf
	pop eax
	and eax, F_RF
	EQ eax, 0, "popf does not set RF"
	; a disabled breakpoint, and one in the middle of an instruction
	SETDR dr0, .mid + 1
	SETDR dr7, DR7(0, 0, 0)
	RT_ARM .mid_end
.mid:	mov edx, 1
.mid_end: WAS "a breakpoint within an instruction", -1, -1, -1
	CLEARDR
	; data: traps, after the access
	%macro DATA 6+	; text, number, type, length code, bits wanted, instruction
	SETDR dr %+ %2, mem + 4
	SETDR dr7, DR7(%2, %3, %4)
	xor eax, eax
	TRAPS %1, VEC_DB, 0, %6
	DR6IS %5, %1
	%endmacro
	%macro NODATA 5+
	SETDR dr %+ %2, mem + 4
	SETDR dr7, DR7(%2, %3, %4)
	xor eax, eax
	RUNS %1, %5
	CLEARDR
	%endmacro
	DATA "write, 4 bytes", 0, 1, 3, B0, mov [mem + 4], eax
	DATA "write of the last byte", 1, 1, 3, B1, mov [mem + 7], al
	DATA "write that overlaps from below", 2, 1, 3, B2, mov [mem + 1], eax
	DATA "write that overlaps at the top", 3, 1, 3, B3, mov [mem + 7], eax
	DATA "read by read/write", 0, 3, 3, B0, mov eax, [mem + 4]
	DATA "write by read/write", 0, 3, 3, B0, mov [mem + 4], eax
	DATA "byte", 1, 3, 0, B1, mov al, [mem + 4]
	DATA "word", 1, 3, 1, B1, mov al, [mem + 5]
	NODATA "read is no write", 0, 1, 3, mov eax, [mem + 4]
	NODATA "beside it", 0, 3, 0, mov al, [mem + 5]
	NODATA "below it", 0, 3, 3, mov eax, [mem]
	mov edx, esp
	mov esp, mem + 8
	SETDR dr0, mem + 4
	SETDR dr7, DR7(0, 1, 3)
	mov dword [rt_resume], .push_end
	mov [rt_sp], edx
	push eax
.push_end:
	WAS "push", VEC_DB, 0, .push_end
	DR6IS B0, "push"
	DATA "read-modify-write", 0, 1, 3, B0, inc dword [mem + 4]
	mov edi, mem + 4
	mov esi, mem + 32
	DATA "movs", 0, 1, 3, B0, movsd
	mov edi, mem
	mov esi, mem + 32
	mov ecx, 4
	SETDR dr0, mem + 4
	SETDR dr7, DR7(0, 1, 3)
	RT_ARM .rep_end
.rep_at: rep movsd
.rep_end:
	WAS "rep movsd is interrupted after the iteration", VEC_DB, 0, .rep_at
	EQ ecx, 2, "iterations left"
	DR6IS B0, "rep movsd"
	; two at once
	SETDR dr0, mem + 4
	SETDR dr1, mem + 4
	SETDR dr7, DR7(0, 1, 3) | DR7(1, 3, 3)
	TRAPS "two breakpoints", VEC_DB, 0, mov [mem + 4], eax
	DR6IS B0 | B1, "both bits"
	; I/O
	SETDR dr2, 0x80
	SETDR dr7, DR7(2, 2, 0)
	TRAPS "I/O breakpoint, out", VEC_DB, 0, out 0x80, al
	DR6IS B2, "I/O breakpoint"
	SETDR dr7, DR7(2, 2, 0)
	TRAPS "I/O breakpoint, in", VEC_DB, 0, in al, 0x80
	DR6IS B2, "I/O breakpoint, in"
	; GD
	mov eax, 0x400 | 0x2000
	mov dr7, eax
	FAULTS "mov from a debug register with GD", VEC_DB, 0, mov eax, dr0
	mov eax, [x_dr6]
	and eax, BD
	EQ eax, BD, "DR6.BD"
	mov eax, dr7
	EQ eax, 0x400, "GD is cleared by the exception"
	CLEARDR
	; icebp: a trap that leaves DR6 alone
	TRAPS "icebp", VEC_DB, 0, db 0xf1
	DR6IS 0, "icebp leaves DR6"
	; single-step: a trap after the next instruction
	%macro TF_ON 0
	pushf
	or dword [esp], F_TF
	popf
	%endmacro
	RT_ARM .tf_end
	xor ecx, ecx
	TF_ON
	inc ecx
.tf_ip:	inc ecx
.tf_end:
	WAS "single-step", VEC_DB, 0, .tf_ip
	EQ ecx, 1, "one instruction ran"
	DR6IS BS, "DR6.BS"
	; counted by a handler that returns
	SETGATE VEC_DB, step, SEL_CODE, 0x8e
	%macro STEPS 3+	; text, steps wanted, instructions
	mov dword [steps], 0
	TF_ON
	%3
	nop
	pushf
	and dword [esp], ~F_TF
	popf
	EQ [steps], %2 + 4, %1
	%endmacro
	STEPS "call, jmp, ret", 3, call .three
	mov esi, mem
	mov edi, mem + 16
	mov ecx, 5
	STEPS "rep movsb: each iteration", 5, rep movsb
	mov ecx, 0
	STEPS "rep movsb with ECX 0", 1, rep movsb
	mov eax, ss
	STEPS "mov ss holds the trap back", 2, call .movss
	SETGATE 0x60, quiet, SEL_CODE, 0x8e
	STEPS "int n: neither it nor its handler is stepped", 0, int 0x60
	; a fault in the stepped instruction: the step is lost, the fault counts
	OLDGATE VEC_DB
	RT_ARM .ud_end
	TF_ON
.ud_at:	ud2
.ud_end:
	WAS "fault instead of a step", VEC_UD, 0, .ud_at
	mov eax, [x_flags]
	and eax, F_TF
	EQ eax, F_TF, "TF in the fault's frame"
	CLEARDR
	; mov ss delays a data breakpoint to the end of the next instruction
	mov word [mem + 4], ss
	SETDR dr0, mem + 4
	SETDR dr7, DR7(0, 3, 1)
	RT_ARM .mss_end
	mov ss, [mem + 4]
	nop
.mss_ip: nop
.mss_end:
	WAS "mov ss delays a data breakpoint", VEC_DB, 0, .mss_ip
	DR6IS B0, "B0 of the delayed one"
	; instruction breakpoint before a data one of the same instruction; both are seen in turn
	SETDR dr0, .both
	SETDR dr1, mem + 4
	SETDR dr7, DR7(0, 0, 0) | DR7(1, 1, 3)
	RT_ARM .both_end
.both:	mov [mem + 4], eax
.both_end:
	WAS "instruction breakpoint first", VEC_DB, 0, .both
	DR6IS B0, "its bit alone"
	; 64-bit: an address above 4 GiB, 8 bytes
	mov eax, go
	call rt_enter64
.three:
	jmp .three2
.three2: ret
.movss:	mov ss, eax
	ret
step:	inc dword [steps]
	iret
quiet:	nop
	iret
bits 64
go:
	mov eax, mem + 8
	mov dr3, rax
	mov eax, DR7(3, 1, 2)
	mov dr7, rax
	TRAPS "8 bytes", VEC_DB, 0, mov byte [mem + 15], 1
	mov rax, [x_dr6]
	and eax, 15
	EQ rax, B3, "DR6.B3"
	xor eax, eax
	mov dr6, rax
	RUNS "beyond 8 bytes", mov byte [mem + 16], 1
	mov eax, 0x400
	mov dr7, rax
	mov rax, 0xffff800000000000
	mov dr0, rax
	mov rbx, dr0
	EQ rbx, rax, "DR0 holds 64 bits"
	USER .u_dr
	WAS "mov to a debug register at CPL 3", VEC_GP, 0, .u_dr
	; single-step at CPL 3
	mov qword [rt_user_flags], F_TF | 2
	USER .u_step
	WAS "single-step at CPL 3", VEC_DB, 0, .u_step1
	FINISH
.u_dr:	mov dr0, rax
.u_step: nop
.u_step1: nop
	DONE
