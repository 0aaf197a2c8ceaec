; iret: its 16-, 32- and 64-bit forms; SDM volume 2 "IRET", volume 3, 5.14 and 6.14.3
%include "rt.inc"

section .bss
	alignb 8
seen:	resd 8

section .text
bits 32
%macro FRAME32 3	; flags, CS, EIP
	push dword %1
	push dword %2
	push dword %3
%endmacro
main:
	; 32-bit, same privilege
	RT_ARM .a
	FRAME32 2, SEL_CODE, .a
	iret
.a:	WAS "iretd", -1, -1, -1
	RT_ARM .b
	FRAME32 2, SEL_DATA, .b
.b_at:	iret
.b:	WAS "to data", VEC_GP, SEL_DATA, .b_at
	RT_ARM .c
	FRAME32 2, 0, .c
.c_at:	iret
.c:	WAS "to null", VEC_GP, 0, .c_at
	RT_ARM .d
	FRAME32 2, SEL_CODE + 3, .d
.d_at:	iret
.d:	WAS "to RPL 3 of DPL 0 code", VEC_GP, SEL_CODE, .d_at
	SETDESC SEL_FREE, 0, 0xfffff, 0x1a, 12
	RT_ARM .e
	FRAME32 2, SEL_FREE, .e
.e_at:	iret
.e:	WAS "to code that is not present", VEC_NP, SEL_FREE, .e_at
	SETDESC SEL_FREE + 8, 0, 0xff, 0x9a, 4
	RT_ARM .f
	FRAME32 2, SEL_FREE + 8, 0x100
.f_at:	iret
.f:	WAS "beyond the limit", VEC_GP, 0, .f_at
	; flags: all that may change do
	FRAME32 F_AC | F_DF | F_CF | 0x200000 | 0x3000 | 2, SEL_CODE, .flags
	iret
.flags:	pushf
	pop eax
	push dword 2
	popf
	EQ eax, F_AC | F_DF | F_CF | 0x200000 | 0x3000 | 2, "flags at CPL 0"
	; to CPL 3: an SS that does not fit
	RT_ARM .g
	push dword SEL_DATA
	push dword rt_ustack_top
	FRAME32 2, SEL_UCODE, .g
.g_at:	iret
.g:	WAS "to CPL 3 with SS of DPL 0", VEC_GP, SEL_DATA, .g_at
	RT_ARM .h
	push dword 0
	push dword rt_ustack_top
	FRAME32 2, SEL_UCODE, .h
.h_at:	iret
.h:	WAS "to CPL 3 with SS null", VEC_GP, 0, .h_at
	SETDESC SEL_FREE + 16, 0, 0xfffff, 0x72, 12
	RT_ARM .i
	push dword SEL_FREE + 16 + 3
	push dword rt_ustack_top
	FRAME32 2, SEL_UCODE, .i
.i_at:	iret
.i:	WAS "to CPL 3 with SS not present", VEC_SS, SEL_FREE + 16, .i_at
	; at CPL 3: IOPL and IF stay
	USER u_flags
	WAS "iret at CPL 3", VEC_DONE, 0, u_flags_end
	mov eax, [x_flags]
	and eax, 0x3000 | F_IF | F_CF | F_VM
	EQ eax, F_CF, "IOPL, IF and VM stay at CPL 3"
	USER u_inward
	WAS "iret inward", VEC_GP, SEL_CODE, u_inward_at
	; segment registers of inner privilege are taken away
	mov eax, SEL_DATA
	mov fs, eax
	mov eax, SEL_UDATA
	mov gs, eax
	USER u_segs
	WAS "segments after a return outward", VEC_DONE, 0, u_segs_end
	EQ [seen], 0, "FS of DPL 0 is null"
	EQ [seen + 4], SEL_UDATA, "GS of DPL 3 stays"
	; 16-bit form
	call low_iret16
	EQ eax, 0x1234, "16-bit iret"
	EQ ebx, 0x00040000, "and EFLAGS above 15 stay"
	mov eax, go
	call rt_enter64
bits 64
%macro FRAME64 5	; SS, RSP, flags, CS, RIP
	push qword %1
	push qword %2
	push qword %3
	push qword %4
	push qword %5
%endmacro
go:
	RT_ARM .a
	mov rax, rsp
	FRAME64 SEL_DATA64, rax, 2, SEL_CODE64, .a
	iretq
.a:	WAS "iretq", -1, -1, -1
	; SS and RSP are popped even within a level; a null SS is good at CPL 0
	mov rbx, rsp
	FRAME64 0, rt_stack_top - 64, 2, SEL_CODE64, .null
	iretq
.null:	mov rcx, rsp
	mov rsp, rbx
	mov eax, ss
	EQ rax, 0, "iretq to a null SS"
	EQ rcx, rt_stack_top - 64, "iretq pops RSP within a level"
	RUNS "pushes work on it", push rax
	pop rax
	mov eax, SEL_DATA64
	mov ss, eax
	RT_ARM .nc
	mov rax, 0x0000800000000000
	FRAME64 SEL_DATA64, rbx, 2, SEL_CODE64, rax
.nc_at:	iretq
.nc:	WAS "to a non-canonical RIP", VEC_GP, 0, .nc_at
	RT_ARM .nt
	FRAME64 SEL_DATA64, rbx, 2, SEL_CODE64, .nt
	pushf
	or dword [rsp], F_NT
	popf
.nt_at:	iretq
.nt:	WAS "with NT", VEC_GP, 0, .nt_at
	pushf
	and dword [rsp], ~F_NT
	popf
	RT_ARM .null3
	FRAME64 3, rbx, 2, SEL_UCODE64, .null3
.null3_at: iretq
.null3:	WAS "to CPL 3 with a null SS", VEC_GP, 0, .null3_at
	RT_ARM .vm
	FRAME64 SEL_DATA64, rbx, 2 | F_VM, SEL_CODE64, .vm
	iretq
.vm:	WAS "VM in the frame is ignored", -1, -1, -1
	; to compatibility mode, and 32-bit code's view
	mov qword [seen], 0
	mov eax, SEL_UDATA		; DS of DPL 0 would be taken away
	mov ds, eax
	RT_ARM .compat
	FRAME64 SEL_UDATA, rt_ustack_top, 2, SEL_UCODE, u_compat
	iretq
.compat: WAS "to compatibility mode", VEC_DONE, 0, u_compat_end
	EQ [x_cs], SEL_UCODE, "CS of compatibility mode"
	EQ [x_ss], SEL_UDATA, "SS of compatibility mode"
	EQ [seen], 0x00000001, "inc eax, not a REX prefix"
	; the 32-bit form in 64-bit mode
	sub rsp, 20
	mov dword [rsp], .short
	mov dword [rsp + 4], SEL_CODE64
	mov dword [rsp + 8], 2
	mov [rsp + 12], ebx
	mov dword [rsp + 16], SEL_DATA64
	RT_ARM .short
	db 0xcf
.short:	WAS "iretd in 64-bit mode", -1, -1, -1
	mov rcx, rsp
	EQ rcx, rbx, "RSP after it"
	FINISH

bits 32
u_flags:
	FRAME32 F_CF | F_IF | 0x3000 | F_VM | 2, SEL_UCODE, .next
	iret
.next:	DONE
u_flags_end:
u_inward:
	FRAME32 2, SEL_CODE, u_inward
u_inward_at: iret
u_segs:	mov eax, fs
	mov [seen], eax
	mov eax, gs
	mov [seen + 4], eax
	DONE
u_segs_end:
u_compat:
	xor eax, eax
	db 0x40			; inc eax; in 64-bit mode a prefix
	mov [seen], eax
	DONE
u_compat_end:

section .low
bits 32
low_iret16:
	push dword F_AC | 2
	popf
	push word 2
	push word SEL_CODE
	push word .next
	o16 iret
.next:
	pushf
	pop ebx
	push dword 2
	popf
	and ebx, F_AC | 0xff00
	mov eax, 0x1234
	ret
